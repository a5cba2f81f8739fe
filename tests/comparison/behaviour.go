package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

const (
	helper = "log-saver"
	logs   = "/var/log/app"
)

// A row says what a tool does with a Pod that asks for a policy.
type row struct {
	title string
	// pod names a file in pods/.
	pod      string
	policies []string
	// prepare changes the Pod before it is sent.
	prepare func(tool Tool, pod Object)
	// observe looks at what came back. It may send more.
	observe func(server *Server, before Object, answer Answer) (string, error)
}

var rows = []row{
	{
		title: "Pod without volumes: a log helper and the application share a new directory",
		pod:   "plain", policies: []string{helper},
		observe: observed(func(_ Object, pod Object) string {
			own, shared := mounted(containers(pod, "app")[0], logs), mounted(containers(pod, helper)[0], logs)
			switch {
			case shared == "" || len(named(get(pod, "spec", "volumes"), shared)) != 1:
				return "no directory"
			case own != shared:
				return "only the helper mounts it"
			}
			return "yes"
		}),
	},
	{
		title:   "the application's own volume at that path is used",
		pod:     "own-volume",
		prepare: func(tool Tool, pod Object) { tool.Ask(pod, tool.Own) },
		observe: func(server *Server, _ Object, answer Answer) (string, error) {
			switch {
			case answer.Pod == nil:
				return answer.failure(), nil
			case mounted(containers(answer.Pod, server.Own)[0], logs) != "own":
				return "no, the helper mounts another there", nil
			case server.Own != helper:
				return "yes, by a policy that cannot add a directory", nil
			}
			return "yes", nil
		},
	},
	{
		title: "a container of the application has the helper's name",
		pod:   "same-name", policies: []string{"memcached"},
		observe: clash("memcached"),
	},
	{
		title: "the same, where the helper is a native sidecar",
		pod:   "same-name", policies: []string{helper},
		observe: clash(helper),
	},
	{
		title: "the application has the helper's port",
		pod:   "port-taken", policies: []string{"memcached"},
		observe: observed(func(_ Object, pod Object) string {
			return "admitted, both declare the port"
		}),
	},
	{
		title: "fields of a later Kubernetes survive, where they were",
		pod:   "future", policies: []string{helper, "memcached"},
		observe: observed(future),
	},
	{
		title: "the same, with one helper that comes after the application's containers",
		pod:   "future", policies: []string{"tracing"},
		observe: observed(future),
	},
	{
		title: "a native sidecar as helper, and the application's own stays as it is",
		pod:   "own-sidecar", policies: []string{helper},
		observe: observed(func(before Object, pod Object) string {
			ours := named(get(pod, "spec", "initContainers"), helper)
			if len(ours) != 1 || ours[0]["restartPolicy"] != "Always" {
				return "the helper is not native"
			}
			if !contains(containers(pod, "own-sidecar")[0], containers(before, "own-sidecar")[0]) {
				return "the application's is changed"
			}
			return "yes"
		}),
	},
	{
		title: "second call, with what the first made",
		pod:   "plain", policies: []string{helper, "memcached"},
		observe: again(func(Object) {}, func(first, second Object) string {
			switch {
			case reflect.DeepEqual(first, second):
				return "no change"
			case reflect.DeepEqual(first["spec"], second["spec"]):
				return "no change, save of an annotation"
			}
			return "changes the Pod again"
		}),
	},
	{
		title: "second call, after another webhook moved the helper's image to a mirror",
		pod:   "plain", policies: []string{"memcached"},
		observe: again(func(pod Object) {
			containers(pod, "memcached")[0]["image"] = "mirror.test/memcached:1"
		}, func(_, second Object) string {
			if image := containers(second, "memcached")[0]["image"]; image != "mirror.test/memcached:1" {
				return "the image is put back"
			}
			return "the mirror's image stays"
		}),
	},
	{
		title: "a Pod's annotation says which directory",
		pod:   "plain", policies: []string{helper},
		prepare: func(tool Tool, pod Object) { set(pod, "/var/log/nginx", "metadata", "annotations", tool.Parameter) },
		observe: observed(func(_ Object, pod Object) string {
			if mounted(containers(pod, helper)[0], "/var/log/nginx") == "" {
				return "no, only as a variable of the helper"
			}
			return "yes"
		}),
	},
	{
		title: "that annotation is `../../etc`",
		pod:   "plain", policies: []string{helper},
		prepare: func(tool Tool, pod Object) { set(pod, "../../etc", "metadata", "annotations", tool.Parameter) },
		observe: observed(func(Object, Object) string { return "admitted, nothing checks it" }),
	},
	{
		title: "the Pod asks for `log-savr`",
		pod:   "plain", policies: []string{"log-savr"},
		observe: observed(func(Object, Object) string { return "admitted without helper, nothing is said" }),
	},
	{
		title: "the helper's configuration file comes without a ConfigMap",
		pod:   "plain", policies: []string{helper},
		observe: observed(func(_ Object, pod Object) string {
			volume := named(get(pod, "spec", "volumes"), mounted(containers(pod, helper)[0], "/etc/log-saver"))
			if len(volume) != 1 || volume[0]["downwardAPI"] == nil {
				return "no"
			}
			return "yes, as an annotation"
		}),
	},
	{
		title: "a dry run",
		pod:   "plain", policies: []string{helper},
		observe: func(server *Server, before Object, wet Answer) (string, error) {
			dry := review(before)
			set(dry, true, "request", "dryRun")
			answer, err := server.answer(dry, before)
			if err != nil || reflect.DeepEqual(answer.Pod["spec"], wet.Pod["spec"]) {
				return "the same answer", err
			}
			return "another answer", nil
		},
	},
	{
		title: "a review for a Deployment, from a wrong registration",
		pod:   "deployment", policies: []string{helper},
		observe: func(_ *Server, before Object, answer Answer) (string, error) {
			switch {
			case answer.Refused != "" || answer.Broken != "":
				return answer.failure(), nil
			case answer.Patched:
				return "changed, as if it were a Pod", nil
			}
			return "admitted as it is", nil
		},
	},
	{
		title: "a review without `request`",
		pod:   "plain",
		observe: func(server *Server, _ Object, _ Answer) (string, error) {
			answer, err := server.answer(Object{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}, nil)
			if answer.Refused+answer.Broken == "" {
				return "admitted", err
			}
			return answer.failure(), err
		},
	},
}

// failure is why there is no Pod.
func (a Answer) failure() string {
	if a.Broken != "" {
		return a.Broken
	}
	// What follows there are the names of all templates, in random order.
	reason, _, _ := strings.Cut(a.Refused, "; have")
	// What comes before that is where in the template it was.
	if at := strings.LastIndex(reason, "error calling fail: "); at >= 0 {
		reason = reason[at+len("error calling fail: "):]
	}
	return "refused: " + strings.TrimSpace(reason)
}

// contains says whether all of part is in whole; lists may have gained elements at their end.
func contains(whole, part any) bool {
	switch part := part.(type) {
	case Object:
		object, ok := whole.(Object)
		for key, value := range part {
			ok = ok && contains(object[key], value)
		}
		return ok
	case []any:
		list, ok := whole.([]any)
		ok = ok && len(list) >= len(part)
		for index := range part {
			ok = ok && contains(list[index], part[index])
		}
		return ok
	}
	return reflect.DeepEqual(whole, part)
}

// observed looks at the Pod, where it was not refused.
func observed(look func(before, pod Object) string) func(*Server, Object, Answer) (string, error) {
	return func(_ *Server, before Object, answer Answer) (string, error) {
		if answer.Pod == nil {
			return answer.failure(), nil
		}
		return look(before, answer.Pod), nil
	}
}

// future says whether what was sent is still there, each field in the container or volume that it was in.
func future(before, pod Object) string {
	for _, list := range []string{"initContainers", "containers", "volumes"} {
		var missing []string
		each(get(before, "spec", list), func(own Object) {
			name, _ := own["name"].(string)
			if found := named(get(pod, "spec", list), name); len(found) != 1 || !contains(found[0], own) {
				missing = append(missing, name)
			}
		})
		if len(missing) > 0 {
			return "no, not in " + strings.Join(missing, ", ")
		}
	}
	return "yes"
}

// clash says what became of the application's container of that name.
func clash(name string) func(*Server, Object, Answer) (string, error) {
	return observed(func(before, pod Object) string {
		found, own := containers(pod, name), containers(before, name)[0]
		switch {
		case len(found) > 1:
			return "both are in the Pod, which makes it invalid"
		case reflect.DeepEqual(found[0], own):
			return "admitted without helper"
		case found[0]["image"] == own["image"]:
			return "the two are merged into one"
		}
		return "the application's is replaced"
	})
}

// again sends the Pod a second time, with what others changed in between.
func again(between func(Object), compare func(first, second Object) string) func(*Server, Object, Answer) (string, error) {
	return func(server *Server, _ Object, first Answer) (string, error) {
		if first.Pod == nil {
			return first.failure(), nil
		}
		between(first.Pod)
		// So that a time which is written into the Pod, in seconds, is another.
		time.Sleep(1100 * time.Millisecond)
		second, err := server.admit(first.Pod)
		if err != nil || second.Pod == nil {
			return second.failure(), err
		}
		return compare(first.Pod, second.Pod), nil
	}
}

// behaviour tries every row on every tool.
func (b *Bench) behaviour() ([]Result, error) {
	var results []Result
	for _, row := range rows {
		results = append(results, Result{Row: row.title, Tools: map[string]string{}})
	}
	orders := Result{Row: "three policies, loaded in two orders, asked for 20 times", Tools: map[string]string{}}
	for _, tool := range tools {
		server, err := b.start(tool, filepath.Join("policies", tool.Name))
		if err != nil {
			return nil, err
		}
		defer server.stop()
		for index, row := range rows {
			if results[index].Tools[tool.Name], err = server.try(row); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", tool.Name, row.title, err)
			}
		}
		if orders.Tools[tool.Name], err = b.orders(tool); err != nil {
			return nil, err
		}
	}
	return append(results, orders), nil
}

func (s *Server) try(row row) (string, error) {
	before, err := pod(row.pod)
	if err != nil {
		return "", err
	}
	if len(row.policies) > 0 {
		s.Ask(before, row.policies...)
	}
	if row.prepare != nil {
		row.prepare(s.Tool, before)
	}
	answer, err := s.admit(before)
	if err != nil {
		return "", err
	}
	return row.observe(s, before, answer)
}

// orders counts what comes out when the same policies are loaded in different orders.
func (b *Bench) orders(tool Tool) (string, error) {
	var different []any
	for _, backwards := range []bool{false, true} {
		directory, err := b.copy(tool, backwards)
		if err != nil {
			return "", err
		}
		server, err := b.start(tool, directory)
		if err != nil {
			return "", err
		}
		defer server.stop()
		for range 10 {
			before, err := pod("plain")
			if err != nil {
				return "", err
			}
			tool.Ask(before, helper, "memcached", "metrics")
			answer, err := server.admit(before)
			if err != nil || answer.Pod == nil {
				return "", errors.Join(err, errors.New(answer.failure()))
			}
			same := func(spec any) bool { return reflect.DeepEqual(spec, answer.Pod["spec"]) }
			if !slices.ContainsFunc(different, same) {
				different = append(different, answer.Pod["spec"])
			}
		}
	}
	if len(different) == 1 {
		return "always the same Pod", nil
	}
	return "Pods with their containers in different orders", nil
}

// copy copies the policies of a tool to a new directory, with names that make them be read forwards or backwards.
func (b *Bench) copy(tool Tool, backwards bool) (string, error) {
	directory, err := os.MkdirTemp(b.Scratch, tool.Name)
	if err != nil {
		return "", err
	}
	files, err := os.ReadDir(filepath.Join("policies", tool.Name))
	if err != nil {
		return "", err
	}
	for index, file := range files {
		text, err := os.ReadFile(filepath.Join("policies", tool.Name, file.Name()))
		if err != nil {
			return "", err
		}
		name := file.Name()
		if backwards && !tool.FixedNames {
			name = fmt.Sprintf("%d-%s", len(files)-index, name)
		}
		if err := os.WriteFile(filepath.Join(directory, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return directory, nil
}
