{{/* The names are fixed: a cluster has one Outrigger, and its objects name each other. */}}
{{- define "outrigger.selector" -}}
app.kubernetes.io/name: outrigger
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "outrigger.labels" -}}
{{ include "outrigger.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "outrigger.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "outrigger.registry" -}}
{{ with .Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}
{{- end }}

{{- define "outrigger.image" -}}
{{ include "outrigger.registry" . }}{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ include "outrigger.tag" . }}{{ end }}
{{- end }}

{{/* The Secret whose certificate is mounted; empty when Outrigger makes its own. */}}
{{- define "outrigger.mountedSecret" -}}
{{ if .Values.certificate.certManager.enabled }}outrigger-tls{{ else }}{{ .Values.certificate.secret }}{{ end }}
{{- end }}

{{- define "outrigger.arguments" -}}
- serve
- --service={{ .Release.Namespace }}/outrigger:{{ .Values.service.port }}
- --owner=outrigger
- --listen=0.0.0.0:8443
- --admin=0.0.0.0:8080
- --drain={{ .Values.drainSeconds }}s
- --shutdown-grace={{ .Values.shutdownGraceSeconds }}s
- --log-format={{ .Values.log.format }}
- --log-level={{ .Values.log.level }}
{{- if not .Values.guard }}
- --guard=false
{{- end }}
{{- if .Values.countPods }}
- --count-pods
{{- end }}
{{- with .Values.kubernetesVersion }}
- --kubernetes-version={{ . }}
{{- end }}
{{- range .Values.protectedNamespaces }}
- --protected-namespace={{ . }}
{{- end }}
{{- range .Values.meshContainers }}
- --mesh-container={{ . }}
{{- end }}
{{- with .Values.foreignChanges }}
- --foreign-changes={{ join "," . }}
{{- end }}
{{- if include "outrigger.mountedSecret" . }}
- --tls-cert=/tls/tls.crt
- --tls-key=/tls/tls.key
- --tls-ca=/tls/ca.crt
{{- end }}
{{- if .Values.clientCertificate.configMap }}
- --client-ca=/client/ca.crt
{{- with .Values.clientCertificate.name }}
- --client-name={{ . }}
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
