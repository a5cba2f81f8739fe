package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// others is how many policies are loaded that do not concern the Pod.
const others = 1000

// costs measures the processor time of one review, and how long its answer takes.
func (b *Bench) costs(reviews int) ([]Result, error) {
	alone := Result{Row: "processor time of one review of 5 KB that gets the log helper", Tools: map[string]string{}}
	crowded := Result{Row: fmt.Sprintf("the same, with %d policies for other Pods loaded", others), Tools: map[string]string{}}
	for _, tool := range tools {
		directory, err := b.copy(tool, false)
		if err != nil {
			return nil, err
		}
		if alone.Tools[tool.Name], err = b.cost(tool, directory, reviews); err != nil {
			return nil, err
		}
		for n := range others {
			if err := tool.Other(directory, n); err != nil {
				return nil, err
			}
		}
		if crowded.Tools[tool.Name], err = b.cost(tool, directory, reviews); err != nil {
			return nil, err
		}
	}
	return []Result{alone, crowded}, nil
}

func (b *Bench) cost(tool Tool, policies string, reviews int) (string, error) {
	server, err := b.start(tool, policies)
	if err != nil {
		return "", err
	}
	defer server.stop()
	body, err := fixture(tool)
	if err != nil {
		return "", err
	}
	answer, err := server.answer(body, get(body, "request", "object").(Object))
	if err != nil || len(containers(answer.Pod, helper)) != 1 {
		return "", fmt.Errorf("%s: the helper is not injected: %v %s", tool.Name, err, answer.failure())
	}
	text := marshal(body)
	if _, _, err := server.measure(text, reviews/10); err != nil {
		return "", err
	}
	var best, wait time.Duration
	for round := range rounds {
		cpu, median, err := server.measure(text, reviews/rounds)
		if err != nil {
			return "", err
		}
		if round == 0 || cpu < best {
			best, wait = cpu, median
		}
	}
	return fmt.Sprintf("%d µs (median answer after %d µs)", best.Microseconds(), wait.Microseconds()), nil
}

// rounds is how often is measured; the least counts, which others on the machine have disturbed least.
const rounds = 3

// measure sends a review so many times; the processor time of one, and the median of the time until its answer.
func (s *Server) measure(review []byte, count int) (cpu, median time.Duration, err error) {
	before, err := s.cpu()
	if err != nil {
		return 0, 0, err
	}
	took := make([]time.Duration, 0, count)
	for range count {
		start := time.Now()
		if status, answer := s.post(review); status != 200 {
			return 0, 0, fmt.Errorf("%s: %d %s", s.Name, status, answer)
		}
		took = append(took, time.Since(start))
	}
	after, err := s.cpu()
	if err != nil || count == 0 {
		return 0, 0, err
	}
	slices.Sort(took)
	return (after - before) / time.Duration(count), took[count/2], nil
}

// fixture is the review that Outrigger's own benchmarks use, asking for the log helper.
func fixture(tool Tool) (Object, error) {
	text, err := os.ReadFile("../fixtures/review.json")
	if err != nil {
		return nil, err
	}
	body := Object{}
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, err
	}
	pod := get(body, "request", "object").(Object)
	delete(get(pod, "metadata", "annotations").(Object), "outrigger.dev/inject")
	tool.Ask(pod, helper)
	return body, nil
}
