/** Cards of the tier's guest beside those with SR-IOV. */

/** One without SR-IOV, on the same wire: what a VF looks like inside a virtual machine. */
export const PLAIN_CARD = { mac: "52:54:00:aa:01:01" } as const;

/** A way to servers that a test starts on this machine's loopback, which is `host` for the guest. */
export const API_CARD = { mac: "52:54:00:aa:02:01", address: "192.0.2.15/24", host: "192.0.2.2" } as const;

export const cardArguments = [
	...["-netdev", "hubport,id=plain,hubid=0"],
	...["-device", `virtio-net-pci,netdev=plain,mac=${PLAIN_CARD.mac},romfile=`],
	...["-netdev", `user,id=api,net=192.0.2.0/24,host=${API_CARD.host}`],
	...["-device", `virtio-net-pci,netdev=api,mac=${API_CARD.mac},romfile=`],
];
