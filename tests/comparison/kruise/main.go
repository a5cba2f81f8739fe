// The Pod webhook of OpenKruise, with SidecarSets from files instead of an API server.
//
// What is OpenKruise's own here: the handler for Pods, the defaults and the validation of SidecarSets, and the index by
// namespace. What is ours: the store that the handler lists SidecarSets from. In a cluster that is the manager's informer
// cache, which OpenKruise reads through the same kind of index and without copying; so does [sidecarSets].
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/openkruise/kruise/apis"
	"github.com/openkruise/kruise/apis/apps/defaults"
	appsv1alpha1 "github.com/openkruise/kruise/apis/apps/v1alpha1"
	"github.com/openkruise/kruise/pkg/util"
	"github.com/openkruise/kruise/pkg/util/configuration"
	utilfeature "github.com/openkruise/kruise/pkg/util/feature"
	"github.com/openkruise/kruise/pkg/util/fieldindex"
	mutating "github.com/openkruise/kruise/pkg/webhook/pod/mutating"
	validating "github.com/openkruise/kruise/pkg/webhook/sidecarset/validating"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"
)

func main() {
	policies := flag.String("policies", "", "directory of SidecarSets")
	certificate := flag.String("tls-cert", "", "certificate (PEM)")
	key := flag.String("tls-key", "", "key (PEM)")
	flag.Parse()
	if err := serve(*policies, *certificate, *key); err != nil {
		log.Fatal(err)
	}
}

// withoutOthers turns features off that the same handler looks after, and that are not compared.
const withoutOthers = "WorkloadSpread=false,PodUnavailableBudgetUpdateGate=false,PodUnavailableBudgetDeleteGate=false"

func serve(policies, certificate, key string) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apis.AddToScheme(scheme)); err != nil {
		return err
	}
	// As OpenKruise's own main does.
	scheme.AddUnversionedTypes(metav1.SchemeGroupVersion, &metav1.CreateOptions{}, &metav1.UpdateOptions{}, &metav1.DeleteOptions{})
	if err := utilfeature.DefaultMutableFeatureGate.Set(withoutOthers); err != nil {
		return err
	}
	store := &sidecarSets{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(namespace(), allowed()).Build(),
		indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{
			fieldindex.IndexNameForSidecarSetNamespace: func(object any) ([]string, error) {
				return fieldindex.IndexSidecarSet(object.(*appsv1alpha1.SidecarSet)), nil
			},
		}),
	}
	if err := store.load(policies, scheme); err != nil {
		return err
	}
	handler := &mutating.PodCreateHandler{Client: store, Decoder: admission.NewDecoder(scheme)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	mux := http.NewServeMux()
	mux.Handle("/mutate-pod", &admission.Webhook{Handler: handler})
	return http.ServeTLS(listener, mux, certificate, key)
}

func namespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
}

// allowed is OpenKruise's configuration: without it, a SidecarSet may not add annotations to Pods.
func allowed() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: util.GetKruiseNamespace(), Name: configuration.KruiseConfigurationName},
		Data: map[string]string{
			configuration.SidecarSetPatchPodMetadataWhiteListKey: `{"rules": [{"allowedAnnotationKeyExprs": [".*\\.inject\\.test/.*"]}]}`,
		},
	}
}

// sidecarSets is a client that lists SidecarSets from an index in memory, and everything else from nothing.
type sidecarSets struct {
	client.Client
	indexer cache.Indexer
}

func (s *sidecarSets) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, ok := list.(*appsv1alpha1.SidecarSetList); !ok {
		return s.Client.List(ctx, list, options...)
	}
	wanted := client.ListOptions{}
	wanted.ApplyOptions(options)
	found := s.indexer.List()
	if wanted.FieldSelector != nil {
		for _, requirement := range wanted.FieldSelector.Requirements() {
			var err error
			if found, err = s.indexer.ByIndex(requirement.Field, requirement.Value); err != nil {
				return err
			}
		}
	}
	objects := make([]runtime.Object, 0, len(found))
	for _, object := range found {
		objects = append(objects, object.(runtime.Object))
	}
	return meta.SetList(list, objects)
}

// load takes each SidecarSet of the directory, as if it were created in a cluster.
func (s *sidecarSets) load(directory string, scheme *runtime.Scheme) error {
	paths, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	if err != nil {
		return err
	}
	validator := &validating.SidecarSetCreateUpdateHandler{Client: s, Decoder: admission.NewDecoder(scheme)}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := &appsv1alpha1.SidecarSet{}
		if err := yaml.UnmarshalStrict(text, set); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		defaults.SetDefaultsSidecarSet(set)
		if err := validate(validator, set); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := s.indexer.Add(set); err != nil {
			return err
		}
	}
	return nil
}

func validate(validator *validating.SidecarSetCreateUpdateHandler, set *appsv1alpha1.SidecarSet) error {
	raw, err := json.Marshal(set)
	if err != nil {
		return err
	}
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Operation: admissionv1.Create,
		Object:    runtime.RawExtension{Raw: raw},
	}}
	if response := validator.Handle(context.Background(), request); !response.Allowed {
		return errors.New(response.Result.Message)
	}
	return nil
}
