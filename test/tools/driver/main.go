// Attaches devices to a pod, or detaches them, as the SR-IOV DRA driver does: through libcni, one configuration after
// the other, each with an interface of its own, up to the first error.
//
//	driver add|del CONTAINER NETNS CONFIGURATION...
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(verb, container, netns string, files []string) error {
	cni := libcni.NewCNIConfig([]string{"/opt/cni/bin"}, nil)
	for index, file := range files {
		list, err := load(file)
		if err != nil {
			return err
		}
		runtime := &libcni.RuntimeConf{
			ContainerID: container,
			NetNS:       netns,
			IfName:      fmt.Sprintf("vfnet%d", index),
			Args: [][2]string{
				{"IgnoreUnknown", "true"},
				{"K8S_POD_NAMESPACE", "default"},
				{"K8S_POD_NAME", container},
				{"K8S_POD_INFRA_CONTAINER_ID", container},
				{"K8S_POD_UID", "uid-" + container},
			},
		}
		if verb == "del" {
			if err := cni.DelNetworkList(context.Background(), list, runtime); err != nil {
				return fmt.Errorf("%s: %w", runtime.IfName, err)
			}
			continue
		}
		result, err := cni.AddNetworkList(context.Background(), list, runtime)
		if err != nil {
			return fmt.Errorf("%s: %w", runtime.IfName, err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
			return err
		}
	}
	return nil
}

func load(file string) (*libcni.NetworkConfigList, error) {
	if strings.HasSuffix(file, ".conflist") {
		return libcni.ConfListFromFile(file)
	}
	one, err := libcni.ConfFromFile(file)
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(one)
}
