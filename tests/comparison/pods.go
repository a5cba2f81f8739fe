package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"
)

// pod reads a Pod of pods/.
func pod(name string) (Object, error) {
	text, err := os.ReadFile(filepath.Join("pods", name+".yaml"))
	if err != nil {
		return nil, err
	}
	object := Object{}
	return object, yaml.Unmarshal(text, &object)
}

// set sets a field, making the objects on the way.
func set(object Object, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		inner, ok := object[key].(Object)
		if !ok {
			inner = Object{}
			object[key] = inner
		}
		object = inner
	}
	object[path[len(path)-1]] = value
}

// get is the field at the path, or nil.
func get(value any, path ...string) any {
	for _, key := range path {
		object, _ := value.(Object)
		value = object[key]
	}
	return value
}

// each calls f with the objects of a list.
func each(list any, f func(Object)) {
	items, _ := list.([]any)
	for _, item := range items {
		if object, ok := item.(Object); ok {
			f(object)
		}
	}
}

// named finds all objects of that name in a list.
func named(list any, name string) (found []Object) {
	each(list, func(object Object) {
		if object["name"] == name {
			found = append(found, object)
		}
	})
	return found
}

// containers finds all containers of that name, init containers among them.
func containers(pod Object, name string) []Object {
	return append(named(get(pod, "spec", "initContainers"), name), named(get(pod, "spec", "containers"), name)...)
}

// mounted is the volume that the container mounts at the path, or "".
func mounted(container Object, path string) string {
	volume := ""
	each(container["volumeMounts"], func(mount Object) {
		if mount["mountPath"] == path {
			volume, _ = mount["name"].(string)
		}
	})
	return volume
}

// Answer is what became of a review.
type Answer struct {
	// Refused is why the Pod is not admitted; Broken, that there was no proper answer at all.
	Refused, Broken string
	// Pod after the patch.
	Pod Object
	// Patched: there was a patch with operations.
	Patched bool
}

// admit sends the Pod, and applies the patch with the API server's library.
func (s *Server) admit(pod Object) (Answer, error) {
	return s.answer(review(pod), pod)
}

func (s *Server) answer(review, object Object) (Answer, error) {
	status, body := s.post(marshal(review))
	var answer struct {
		Response *struct {
			Allowed bool
			Status  struct{ Message string }
			Patch   string
		}
	}
	err := json.Unmarshal(body, &answer)
	switch {
	case status == 0:
		return Answer{Broken: "the call panics, and the connection is cut"}, nil
	case status != 200 || err != nil || answer.Response == nil:
		return Answer{Broken: fmt.Sprintf("HTTP %d", status)}, nil
	case !answer.Response.Allowed:
		return Answer{Refused: answer.Response.Status.Message}, nil
	case answer.Response.Patch == "":
		return Answer{Pod: object}, nil
	}
	text, err := base64.StdEncoding.DecodeString(answer.Response.Patch)
	if err != nil {
		return Answer{}, err
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		return Answer{}, err
	}
	patched, err := patch.Apply(marshal(object))
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w: %s", s.Name, err, text)
	}
	result := Answer{Pod: Object{}, Patched: len(patch) > 0}
	return result, json.Unmarshal(patched, &result.Pod)
}
