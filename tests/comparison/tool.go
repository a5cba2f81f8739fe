package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Object is a JSON object.
type Object = map[string]any

// Tool is how an injector is started and asked.
type Tool struct {
	Name, Title string
	// Path of the webhook's URL.
	Path string
	// Arguments that come before the directory of policies.
	Serve []string
	// Address finds the address that it serves in a line that it prints.
	Address *regexp.Regexp
	Env     []string
	// Parameter is the annotation that sets the directory of log files.
	Parameter string
	// FixedNames: its policies are parts of files that have names of their own.
	FixedNames bool
	// Own is the policy for applications that have a volume for their log files.
	Own string
	// Ask makes the Pod ask for these policies.
	Ask func(pod Object, policies ...string)
	// Other writes a policy that matches Pods of tier-<n>.
	Other func(directory string, n int) error
}

var plainAddress = regexp.MustCompile(`^(127\.0\.0\.1:\d+)$`)

var tools = []Tool{
	{
		Name: "outrigger", Title: "Outrigger", Path: "/mutate",
		Serve:     []string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json", "--policies"},
		Address:   regexp.MustCompile(`"listen":"(127\.0\.0\.1:\d+)"`),
		Parameter: "log-saver.outrigger.dev/path",
		Own:       helper,
		Ask: func(pod Object, policies ...string) {
			set(pod, strings.Join(policies, ","), "metadata", "annotations", "outrigger.dev/inject")
		},
		Other: func(directory string, n int) error {
			return writeOther(directory, n, `
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: other-%[1]d}
spec:
  match: {podSelector: {matchLabels: {tier: tier-%[1]d}}}
  sidecars: [{container: {name: other-%[1]d, image: "registry.test/other:1"}}]
`)
		},
	},
	{
		Name: "kruise", Title: "OpenKruise SidecarSet", Path: "/mutate-pod",
		Serve:     []string{"--policies"},
		Address:   plainAddress,
		Parameter: "log-saver.inject.test/path",
		Own:       "log-reader",
		Ask: func(pod Object, policies ...string) {
			for _, policy := range policies {
				set(pod, "true", "metadata", "labels", "inject.test/"+policy)
			}
		},
		Other: func(directory string, n int) error {
			return writeOther(directory, n, `
apiVersion: apps.kruise.io/v1alpha1
kind: SidecarSet
metadata: {name: other-%[1]d}
spec:
  selector: {matchLabels: {tier: tier-%[1]d}}
  containers: [{name: other-%[1]d, image: "registry.test/other:1"}]
`)
		},
	},
	{
		Name: "istio", Title: "Istio custom templates", Path: "/inject", FixedNames: true,
		Serve:   []string{"--policies"},
		Address: plainAddress,
		// Whether its own proxy is native; templates of one's own say it themselves. Off, it needs no Nodes to look at.
		Env:       []string{"ENABLE_NATIVE_SIDECARS=false"},
		Parameter: "log-saver.inject.test/path",
		Own:       helper,
		Ask: func(pod Object, policies ...string) {
			set(pod, "true", "metadata", "labels", "sidecar.istio.io/inject")
			set(pod, strings.Join(policies, ","), "metadata", "annotations", "inject.istio.io/templates")
		},
		Other: func(directory string, n int) error {
			file, err := os.OpenFile(filepath.Join(directory, "config.yaml"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = fmt.Fprintf(file, "  other-%[1]d: |\n    spec: {containers: [{name: other-%[1]d, image: registry.test/other:1}]}\n", n)
			return err
		},
	},
}

func writeOther(directory string, n int, policy string) error {
	return os.WriteFile(filepath.Join(directory, fmt.Sprintf("other-%d.yaml", n)), fmt.Appendf(nil, policy, n), 0o600)
}

// Bench has what all tools need.
type Bench struct {
	// Programs is the directory of the tools' programs, Scratch one for files.
	Programs, Scratch string
	authority         *x509.CertPool
}

// certificates has Outrigger make a certificate, which all tools serve with.
func (b *Bench) certificates() error {
	made := exec.Command(filepath.Join(b.Programs, "outrigger"), "certs", "--dir", b.Scratch, "--dns", "127.0.0.1")
	if text, err := made.CombinedOutput(); err != nil {
		return fmt.Errorf("outrigger certs: %w: %s", err, text)
	}
	authority, err := os.ReadFile(filepath.Join(b.Scratch, "ca.crt"))
	if err != nil {
		return err
	}
	b.authority = x509.NewCertPool()
	b.authority.AppendCertsFromPEM(authority)
	return nil
}

// Server is a tool that serves.
type Server struct {
	Tool
	process *exec.Cmd
	url     string
	client  *http.Client
}

// start serves the policies of a directory, and waits until it does.
func (b *Bench) start(tool Tool, policies string) (*Server, error) {
	arguments := append(append([]string{}, tool.Serve...), policies,
		"--tls-cert", filepath.Join(b.Scratch, "tls.crt"), "--tls-key", filepath.Join(b.Scratch, "tls.key"))
	process := exec.Command(filepath.Join(b.Programs, tool.Name), arguments...)
	process.Env = append(os.Environ(), tool.Env...)
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	process.Stdout, process.Stderr = writer, writer
	if err := process.Start(); err != nil {
		return nil, err
	}
	writer.Close()
	said := bufio.NewReader(reader)
	address, err := tool.address(said)
	if err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, said)
	// HTTP/1.1 on one connection, as API servers call webhooks in sequence.
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.authority}, MaxIdleConnsPerHost: 1}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return &Server{Tool: tool, process: process, url: "https://" + address + tool.Path, client: client}, nil
}

func (t Tool) address(said *bufio.Reader) (string, error) {
	var lines strings.Builder
	for {
		line, err := said.ReadString('\n')
		lines.WriteString(line)
		if found := t.Address.FindStringSubmatch(strings.TrimSpace(line)); found != nil {
			return found[1], nil
		}
		if err != nil {
			return "", fmt.Errorf("%s does not serve: %s", t.Name, lines.String())
		}
	}
}

func (s *Server) stop() {
	s.client.CloseIdleConnections()
	s.process.Process.Kill()
	s.process.Wait()
}

// post sends a body; status 0: there was no answer.
func (s *Server) post(body []byte) (status int, answer []byte) {
	response, err := s.client.Post(s.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return response.StatusCode, answer
}

// cpu is the processor time that the process has used.
func (s *Server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		number, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += number
	}
	// Linux counts for user space in hundredths of a second, everywhere.
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// review is an AdmissionReview for the creation of a Pod or a Deployment.
func review(object Object) Object {
	kind, resource := Object{"group": "", "version": "v1", "kind": "Pod"}, Object{"group": "", "version": "v1", "resource": "pods"}
	if object["kind"] == "Deployment" {
		kind = Object{"group": "apps", "version": "v1", "kind": "Deployment"}
		resource = Object{"group": "apps", "version": "v1", "resource": "deployments"}
	}
	return Object{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": Object{
			"uid":  "0b9c4d9a-7e26-4a3c-9c59-1c2f6f0c1d11",
			"kind": kind, "resource": resource,
			"namespace": "shop", "operation": "CREATE", "userInfo": Object{"username": "somebody"},
			"object": object, "dryRun": false,
			"options": Object{"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
		},
	}
}

func marshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
