// The injection webhook of Istio, with templates from files instead of an API server.
//
// What is Istio's own here: the webhook, and the reading of the injection ConfigMap's `config` and `values`. The mesh
// configuration is the default, save that no Prometheus annotations are rewritten for a proxy that is not injected.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"path/filepath"

	"google.golang.org/protobuf/types/known/wrapperspb"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/kube/inject"
)

func main() {
	policies := flag.String("policies", "", "directory of config.yaml and values.yaml")
	certificate := flag.String("tls-cert", "", "certificate (PEM)")
	key := flag.String("tls-key", "", "key (PEM)")
	flag.Parse()
	if err := serve(*policies, *certificate, *key); err != nil {
		log.Fatal(err)
	}
}

func serve(policies, certificate, key string) error {
	configuration := mesh.DefaultMeshConfig()
	configuration.EnablePrometheusMerge = wrapperspb.Bool(false)
	store := model.NewFakeStore()
	environment := &model.Environment{
		Watcher:     meshwatcher.NewTestWatcher(configuration),
		ConfigStore: store,
	}
	environment.SetPushContext(&model.PushContext{ProxyConfigs: model.GetProxyConfigs(store, configuration)})
	watcher, watching := inject.NewFileWatcher(filepath.Join(policies, "config.yaml"), filepath.Join(policies, "values.yaml"))
	listener, listening := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(watching, listening); err != nil {
		return err
	}
	mux := http.NewServeMux()
	if _, err := inject.NewWebhook(inject.WebhookParameters{Watcher: watcher, Env: environment, Mux: mux}); err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return http.ServeTLS(listener, mux, certificate, key)
}
