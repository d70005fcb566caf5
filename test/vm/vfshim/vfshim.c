// SPDX-License-Identifier: GPL-2.0
/*
 * vfshim: makes QEMU's igb network card and the kernel's software RDMA look like an SR-IOV card for RDMA.
 * For test guests only: it rewires functions of other modules.
 *
 * RDMA. A software RDMA device (rdma_rxe) made on a VF's netdev behaves like the one that a hardware driver makes per
 * VF:
 *  - its parent is the VF's PCI function, so /sys/bus/pci/devices/VF/infiniband/DEV exists, and
 *    infiniband_verbs/uverbsN;
 *  - it can move between network namespaces ("rdma dev set DEV netns NS");
 *  - it outlives a move of its netdev to another network namespace.
 *
 * VF settings. igb refuses link state, min_tx_rate, 802.1ad and query_rss of a VF. Here they are accepted, kept and
 * shown by "ip link show PF"; traffic does not change.
 *
 * Refusals. /sys/module/vfshim/parameters/refuse, "SETTING" or "SETTING:COUNT", SETTING one of mac vlan rate spoofchk
 * trust link_state: the next COUNT changes (without COUNT: all until something else is written) fail with EOPNOTSUPP.
 * With ":COUNT:PASS" the first PASS changes still go through. Empty: none is refused.
 */
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>
#include <rdma/ib_verbs.h>

/* --- RDMA: three kprobes --- */

static void nothing_to_disassociate(struct ib_ucontext *context) { }

/* ib_register_device(struct ib_device *device, ...): before it looks at the parent and at what can be done. */
static int before_register(struct kprobe *probe, struct pt_regs *regs)
{
	struct ib_device *device = (void *)regs_get_kernel_argument(regs, 0);
	struct net_device *netdev;

	if (device->ops.driver_id != RDMA_DRIVER_RXE)
		return 0;
	/* Its absence is why ib_device_set_netns() answers EOPNOTSUPP. */
	if (!device->ops.disassociate_ucontext)
		device->ops.disassociate_ucontext = nothing_to_disassociate;
	netdev = ib_device_get_netdev(device, 1);
	if (netdev) {
		if (!device->dev.parent && netdev->dev.parent)
			device->dev.parent = netdev->dev.parent;
		dev_put(netdev);
	}
	return 0;
}

/*
 * rxe_notify(struct notifier_block *, unsigned long event, void *info): a netdev that changes its namespace is
 * announced as unregistered, on which rxe would destroy its device. Only a real end has another reg_state.
 */
static int before_notify(struct kprobe *probe, struct pt_regs *regs)
{
	struct net_device *netdev = netdev_notifier_info_to_dev((void *)regs_get_kernel_argument(regs, 2));

	if (regs->si == NETDEV_UNREGISTER && netdev->reg_state == NETREG_REGISTERED)
		regs->si = NETDEV_CHANGENAME; /* an event that rxe ignores */
	return 0;
}

static struct kprobe probes[] = {
	{ .symbol_name = "ib_register_device", .pre_handler = before_register },
	{ .symbol_name = "rdma_rxe:rxe_notify", .pre_handler = before_notify },
};
static bool armed[ARRAY_SIZE(probes)];

static void arm_probes(void)
{
	int i, error;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		error = register_kprobe(&probes[i]);
		armed[i] = !error;
		if (error)
			pr_info("vfshim: no probe on %s (%d)\n", probes[i].symbol_name, error);
	}
}

static void disarm_probes(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (armed[i])
			unregister_kprobe(&probes[i]);
}

/* --- refusals --- */

static DEFINE_SPINLOCK(refusal_lock);
static char refused[16];
static int refusals_left;	/* -1: without end */
static int passes_left;

static int refuse_set(const char *text, const struct kernel_param *param)
{
	char setting[sizeof(refused)] = "";
	int count = -1, pass = 0;

	/* sscanf of the kernel: %15[^:] is not to be had without a width, and the final newline is the shell's. */
	if (*text && *text != '\n' && sscanf(text, "%15[^:\n]:%d:%d", setting, &count, &pass) < 1)
		return -EINVAL;
	spin_lock(&refusal_lock);
	strscpy(refused, setting, sizeof(refused));
	refusals_left = count;
	passes_left = pass;
	spin_unlock(&refusal_lock);
	return 0;
}

static int refuse_get(char *text, const struct kernel_param *param)
{
	int length;

	spin_lock(&refusal_lock);
	length = sprintf(text, "%s:%d:%d\n", refused, refusals_left, passes_left);
	spin_unlock(&refusal_lock);
	return length;
}

static const struct kernel_param_ops refuse_ops = { .set = refuse_set, .get = refuse_get };
module_param_cb(refuse, &refuse_ops, NULL, 0644);
MODULE_PARM_DESC(refuse, "SETTING[:COUNT[:PASS]]: VF setting to refuse");

static bool refuses(const char *setting)
{
	bool answer = false;

	spin_lock(&refusal_lock);
	if (refusals_left && !strcmp(refused, setting)) {
		if (passes_left > 0) {
			passes_left--;
		} else {
			answer = true;
			if (refusals_left > 0)
				refusals_left--;
		}
	}
	spin_unlock(&refusal_lock);
	return answer;
}

/* --- VF settings: the PF's netdev operations, wrapped --- */

#define MAX_PF 8
#define MAX_VF 8

static struct pf {
	struct net_device *netdev;	/* NULL: free */
	const struct net_device_ops *driver;
	struct net_device_ops ops;
	struct {
		int link_state, min_tx_rate;
		__be16 vlan_proto;
		bool query_rss;
	} vf[MAX_VF];
} pfs[MAX_PF];

/* Of NULL: a free one. */
static struct pf *pf_of(struct net_device *netdev)
{
	int i;

	for (i = 0; i < MAX_PF; i++)
		if (pfs[i].netdev == netdev)
			return &pfs[i];
	return NULL;
}

static bool is_vf(struct net_device *netdev, int vf)
{
	return vf >= 0 && vf < MAX_VF && vf < pci_num_vf(to_pci_dev(netdev->dev.parent));
}

static int set_mac(struct net_device *netdev, int vf, u8 *mac)
{
	if (refuses("mac"))
		return -EOPNOTSUPP;
	return pf_of(netdev)->driver->ndo_set_vf_mac(netdev, vf, mac);
}

static int set_spoofchk(struct net_device *netdev, int vf, bool on)
{
	if (refuses("spoofchk"))
		return -EOPNOTSUPP;
	return pf_of(netdev)->driver->ndo_set_vf_spoofchk(netdev, vf, on);
}

static int set_trust(struct net_device *netdev, int vf, bool on)
{
	if (refuses("trust"))
		return -EOPNOTSUPP;
	return pf_of(netdev)->driver->ndo_set_vf_trust(netdev, vf, on);
}

static int set_link_state(struct net_device *netdev, int vf, int state)
{
	if (refuses("link_state"))
		return -EOPNOTSUPP;
	if (!is_vf(netdev, vf))
		return -EINVAL;
	pf_of(netdev)->vf[vf].link_state = state;
	return 0;
}

static int set_rate(struct net_device *netdev, int vf, int min, int max)
{
	struct pf *pf = pf_of(netdev);
	int error;

	if (refuses("rate"))
		return -EOPNOTSUPP;
	error = pf->driver->ndo_set_vf_rate(netdev, vf, 0, max);
	if (!error)
		pf->vf[vf].min_tx_rate = min;
	return error;
}

static int set_vlan(struct net_device *netdev, int vf, u16 vlan, u8 qos, __be16 proto)
{
	struct pf *pf = pf_of(netdev);
	int error;

	if (refuses("vlan"))
		return -EOPNOTSUPP;
	if (proto != htons(ETH_P_8021Q) && proto != htons(ETH_P_8021AD))
		return -EPROTONOSUPPORT;
	error = pf->driver->ndo_set_vf_vlan(netdev, vf, vlan, qos, htons(ETH_P_8021Q));
	if (!error)
		pf->vf[vf].vlan_proto = proto;
	return error;
}

static int set_query_rss(struct net_device *netdev, int vf, bool on)
{
	if (!is_vf(netdev, vf))
		return -EINVAL;
	pf_of(netdev)->vf[vf].query_rss = on;
	return 0;
}

static int get_config(struct net_device *netdev, int vf, struct ifla_vf_info *info)
{
	struct pf *pf = pf_of(netdev);
	int error = pf->driver->ndo_get_vf_config(netdev, vf, info);

	if (error)
		return error;
	info->linkstate = pf->vf[vf].link_state;
	info->min_tx_rate = pf->vf[vf].min_tx_rate;
	info->rss_query_en = pf->vf[vf].query_rss;
	if (pf->vf[vf].vlan_proto && info->vlan)
		info->vlan_proto = pf->vf[vf].vlan_proto;
	return 0;
}

static void wrap(struct net_device *netdev)
{
	struct pf *pf = pf_of(NULL);

	if (!pf)
		return;
	memset(pf, 0, sizeof(*pf));
	pf->driver = netdev->netdev_ops;
	pf->ops = *pf->driver;
	pf->ops.ndo_set_vf_mac = set_mac;
	pf->ops.ndo_set_vf_vlan = set_vlan;
	pf->ops.ndo_set_vf_rate = set_rate;
	pf->ops.ndo_set_vf_spoofchk = set_spoofchk;
	pf->ops.ndo_set_vf_trust = set_trust;
	pf->ops.ndo_set_vf_link_state = set_link_state;
	pf->ops.ndo_set_vf_rss_query_en = set_query_rss;
	pf->ops.ndo_get_vf_config = get_config;
	pf->netdev = netdev;
	netdev->netdev_ops = &pf->ops;
}

/* Has the VF operations of igb, and lacks the one that we add. */
static bool is_plain_pf(struct net_device *netdev)
{
	const struct net_device_ops *ops = netdev->netdev_ops;

	return netdev->dev.parent && dev_is_pci(netdev->dev.parent) &&
	       pci_sriov_get_totalvfs(to_pci_dev(netdev->dev.parent)) > 0 &&
	       ops->ndo_get_vf_config && ops->ndo_set_vf_mac && ops->ndo_set_vf_vlan && ops->ndo_set_vf_rate &&
	       ops->ndo_set_vf_spoofchk && ops->ndo_set_vf_trust && !ops->ndo_set_vf_link_state;
}

static int netdev_event(struct notifier_block *block, unsigned long event, void *info)
{
	struct net_device *netdev = netdev_notifier_info_to_dev(info);
	struct pf *pf = pf_of(netdev);

	if (event == NETDEV_REGISTER && !pf && is_plain_pf(netdev)) {
		wrap(netdev);
	} else if (event == NETDEV_UNREGISTER && pf && netdev->reg_state != NETREG_REGISTERED) {
		netdev->netdev_ops = pf->driver;
		pf->netdev = NULL;
	}
	return NOTIFY_DONE;
}

static struct notifier_block notifier = { .notifier_call = netdev_event };

static int __init vfshim_init(void)
{
	arm_probes();
	return register_netdevice_notifier(&notifier); /* which announces the netdevs that are there already, too */
}

static void __exit vfshim_exit(void)
{
	int i;

	unregister_netdevice_notifier(&notifier);
	rtnl_lock();
	for (i = 0; i < MAX_PF; i++)
		if (pfs[i].netdev)
			pfs[i].netdev->netdev_ops = pfs[i].driver;
	rtnl_unlock();
	disarm_probes();
}

module_init(vfshim_init);
module_exit(vfshim_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("test shim: rdma_rxe as one RDMA device per VF, all VF settings on igb, refusals on demand");
