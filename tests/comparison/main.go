// Compares Outrigger with other injectors, by trying each row on each of them.
//
// Every tool runs as a process of its own, serves its admission webhook over HTTPS on loopback, and is sent the same
// reviews; what is printed is what came back. See README.md.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

// Result is one row: what each tool did, by the tool's name.
type Result struct {
	Row   string            `json:"row"`
	Tools map[string]string `json:"tools"`
}

func main() {
	log.SetFlags(0)
	output := flag.String("o", "table", "table or json")
	programs := flag.String("programs", "", "directory of the programs outrigger, kruise and istio")
	reviews := flag.Int("reviews", 3000, "reviews of each measurement of cost; 0: none")
	check := flag.String("check", "", "document whose table must say the same, costs aside")
	flag.Parse()
	if err := run(*output, *programs, *reviews, *check); err != nil {
		log.Fatal(err)
	}
}

func run(output, programs string, reviews int, check string) error {
	scratch, err := os.MkdirTemp("", "comparison")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	programs, err = filepath.Abs(programs)
	if err != nil {
		return err
	}
	bench := Bench{Programs: programs, Scratch: scratch}
	if err := bench.certificates(); err != nil {
		return err
	}
	behaviour, err := bench.behaviour()
	if err != nil {
		return err
	}
	results := behaviour
	if reviews > 0 {
		costs, err := bench.costs(reviews)
		if err != nil {
			return err
		}
		results = append(results, costs...)
	}
	if output == "json" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(results)
	} else {
		_, err = fmt.Print(table(results))
	}
	if err != nil || check == "" {
		return err
	}
	return agrees(check, behaviour)
}

// table writes the results as a Markdown table.
func table(results []Result) string {
	var text strings.Builder
	fmt.Fprintf(&text, "| tried |")
	for _, tool := range tools {
		fmt.Fprintf(&text, " %s |", tool.Title)
	}
	fmt.Fprintf(&text, "\n|---|%s\n", strings.Repeat("---|", len(tools)))
	for _, result := range results {
		fmt.Fprintln(&text, line(result))
	}
	return text.String()
}

func line(result Result) string {
	cells := []string{result.Row}
	for _, tool := range tools {
		cells = append(cells, strings.ReplaceAll(short(result.Tools[tool.Name]), "|", "\\|"))
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// short cuts a text after the word that makes it long; `-o json` has the rest.
func short(text string) string {
	const enough = 60
	if len(text) > enough {
		if end := strings.IndexByte(text[enough:], ' '); end >= 0 {
			return text[:enough+end] + " …"
		}
	}
	return text
}

// agrees says which lines of the table the document lacks.
func agrees(path string, results []Result) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var missing []error
	for _, result := range results {
		// The document has a further column.
		if !strings.Contains(string(document), "\n"+line(result)+" ") {
			missing = append(missing, fmt.Errorf("%s lacks this line:\n%s", path, line(result)))
		}
	}
	return errors.Join(missing...)
}
