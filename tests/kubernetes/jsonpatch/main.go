// Applies JSON Patches as the API server does to the answers of mutating webhooks: the same library, the same
// two calls, no options (k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go).
//
// Each line of standard input is {"doc": …, "patch": […]}, each line of standard output the answer to it:
// {"doc": …}, or {"error": "…"} when the patch cannot be decoded or does not apply.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

type question struct {
	Doc   json.RawMessage `json:"doc"`
	Patch json.RawMessage `json:"patch"`
}

type answer struct {
	Doc   json.RawMessage `json:"doc,omitempty"`
	Error string          `json:"error,omitempty"`
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "jsonpatch:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	answers := json.NewEncoder(out)
	answers.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if err := answers.Encode(apply(line)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func apply(line []byte) answer {
	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return answer{Error: "not a question: " + err.Error()}
	}
	patch, err := jsonpatch.DecodePatch(q.Patch)
	if err != nil {
		return answer{Error: "undecodable patch: " + err.Error()}
	}
	doc, err := patch.Apply(q.Doc)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Doc: doc}
}
