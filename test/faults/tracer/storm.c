/*
 * Many attachments at once, some killed: no VF and no address may be lost, or have two owners.
 *
 *   storm PROGRAM ROUNDS SEED PODS AT-ONCE
 *   vf PCI CONFIG             one line for each VF
 *
 * Pods 0.. have one interface each, of any VF. A round picks AT-ONCE of them; one without an attachment gets an ADD for
 * a random VF (often one that another pod has, or asks for at the same moment), one with an attachment a DEL, one whose
 * last call failed or was killed a DEL, too, as runtimes do. A third of the calls are killed after a random time within
 * a round. After each round the kernel is asked which device each pod's interface is, and the answers are compared with
 * each other.
 */
#define _GNU_SOURCE
#include "storm.h"
#include "scene.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_PODS = 32, HANG_SECONDS = 100 };

enum state {
	NOTHING,
	ATTACHED,
	TO_BE_DELETED, /* its last call failed or was killed */
};

static struct pod {
	enum state state;
	int vf;	  /* that it has, or asked for last */
	char address[64];
	char name[16], netns[64], container[16];
} pods[MAX_PODS];

static struct {
	long adds, dels, refused, kills;
} sum;

struct operation {
	struct pod *pod;
	bool is_add;
	struct call call;
	pid_t pid;
	double kill_at; /* 0: never */
	bool killed;
	int status;
};

/* How long a round takes: within that calls are killed. */
static int round_ms = 400;

static int below(int limit)
{
	return rand() % limit;
}

static void start(struct operation *operation, double began)
{
	struct pod *pod = operation->pod;
	char *words[] = { scenario.storm.words[1], operation->is_add ? "ADD" : "DEL", scenario.vfs[pod->vf].words[2],
			  pod->container, pod->netns };

	prepare_call(&operation->call, words);
	operation->kill_at = below(3) ? 0 : began + (1 + below(round_ms)) / 1000.0;
	operation->pid = fork();
	if (operation->pid == 0) {
		for (int i = 0; i < 3; i++)
			dup2(operation->call.fds[i], i);
		execve(operation->call.program, (char *[]){ operation->call.program, NULL }, operation->call.environment);
		_exit(127);
	}
	if (operation->pid < 0)
		die("fork");
}

static void wait_for_all(struct operation *operations, int count, double began)
{
	for (int left = count; left > 0;) {
		for (int i = 0; i < count; i++) {
			struct operation *operation = &operations[i];

			if (operation->pid > 0 && waitpid(operation->pid, &operation->status, WNOHANG) == operation->pid) {
				operation->pid = 0;
				left--;
			} else if (operation->pid > 0 && operation->kill_at && now() >= operation->kill_at && !operation->killed) {
				operation->killed = kill(operation->pid, SIGKILL) == 0;
			} else if (operation->pid > 0 && now() - began > HANG_SECONDS) {
				violation("%s of %s hangs", operation->is_add ? "ADD" : "DEL", operation->pod->name);
				kill(operation->pid, SIGKILL);
			}
		}
		usleep(5000);
	}
}

/* The part of an answer between `key` and the next quote. */
static void find_text(const char *answer, const char *key, char *text, size_t size)
{
	const char *found = strstr(answer, key);

	text[0] = 0;
	if (found)
		snprintf(text, size, "%.*s", (int)strcspn(found + strlen(key), "\""), found + strlen(key));
}

static void judge(struct operation *operation)
{
	struct pod *pod = operation->pod;
	char *answer = content(operation->call.fds[1]);
	bool is_killed = WIFSIGNALED(operation->status);

	sum.kills += is_killed;
	if (operation->is_add)
		sum.adds++;
	else
		sum.dels++;
	pod->address[0] = 0;
	if (is_killed) {
		pod->state = TO_BE_DELETED;
	} else if (!operation->is_add) {
		pod->state = NOTHING;
		if (operation->status != 0)
			violation("DEL of %s: %s", pod->name, answer);
	} else if (operation->status == 0) {
		pod->state = ATTACHED;
		find_text(answer, "\"address\": \"", pod->address, sizeof(pod->address));
	} else {
		pod->state = TO_BE_DELETED;
		sum.refused++;
		if (!strstr(answer, "\"code\": 11"))
			violation("ADD of %s for VF %d: %s", pod->name, pod->vf, answer);
	}
	free(answer);
	end_call(&operation->call);
}

/* Device behind net1 of the pod, as ethtool tells it; "" where there is no net1. */
static void device_in(const struct pod *pod, int home, char *device, size_t size)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_name = "net1", .ifr_data = (void *)&info };
	int netns = open(pod->netns, O_RDONLY | O_CLOEXEC), fd;

	if (netns < 0 || setns(netns, CLONE_NEWNET) != 0)
		die(pod->netns);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(device, size, "%s", ioctl(fd, SIOCETHTOOL, &request) == 0 ? info.bus_info : "");
	close(fd);
	close(netns);
	if (setns(home, CLONE_NEWNET) != 0)
		die("setns");
}

static void check(int pod_count, int home)
{
	for (int i = 0; i < pod_count; i++) {
		struct pod *pod = &pods[i];
		const char *wanted = pod->state == ATTACHED ? scenario.vfs[pod->vf].words[1] : "";
		char device[64];

		device_in(pod, home, device, sizeof(device));
		if (pod->state != TO_BE_DELETED && strcmp(device, wanted))
			violation("%s has the device \"%s\", not \"%s\"", pod->name, device, wanted);
		for (int j = 0; j < i; j++) {
			if (pod->state != ATTACHED || pods[j].state != ATTACHED)
				continue;
			if (pod->vf == pods[j].vf)
				violation("VF %d has two owners: %s and %s", pod->vf, pod->name, pods[j].name);
			if (!strcmp(pod->address, pods[j].address))
				violation("address %s has two owners: %s and %s", pod->address, pod->name, pods[j].name);
		}
	}
}

static void play_round(int pod_count, int at_once, int home)
{
	struct operation operations[MAX_PODS] = { 0 };
	double began = now();

	for (int i = 0; i < at_once; i++) {
		struct operation *operation = &operations[i];
		bool taken;

		do {
			operation->pod = &pods[below(pod_count)];
			taken = false;
			for (int j = 0; j < i; j++)
				taken |= operations[j].pod == operation->pod;
		} while (taken);
		operation->is_add = operation->pod->state == NOTHING;
		if (operation->is_add)
			operation->pod->vf = below(scenario.vf_count);
		start(operation, began);
	}
	wait_for_all(operations, at_once, began);
	round_ms = round_ms / 2 + (int)((now() - began) * 500) + 1;
	for (int i = 0; i < at_once; i++)
		judge(&operations[i]);
	check(pod_count, home);
}

int run_storm(void)
{
	char *const *words = scenario.storm.words;
	int rounds = atoi(words[2]), pod_count = atoi(words[4]), at_once = atoi(words[5]);
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	srand(atoi(words[3]));
	for (int i = 0; i < pod_count; i++) {
		struct pod *pod = &pods[i];

		snprintf(pod->name, sizeof(pod->name), "pod%d", i);
		snprintf(pod->container, sizeof(pod->container), "c%d", i);
		snprintf(pod->netns, sizeof(pod->netns), "/run/netns/%s", pod->name);
		make_namespace(pod->name);
	}
	for (place = 1; place <= rounds && violations < 12; place++) {
		violated = false;
		strcpy(place_text, "round");
		play_round(pod_count, at_once, home);
	}
	violated = false;
	strcpy(place_text, "end");
	for (int i = 0; i < pod_count; i++)
		if (pods[i].state != NOTHING)
			call_plugin((char *[]){ words[1], "DEL", scenario.vfs[pods[i].vf].words[2], pods[i].container, pods[i].netns });
	require_same("end");
	printf("rounds %ld violations %ld adds %ld dels %ld refused %ld kills %ld\n", place - 1, violations, sum.adds, sum.dels,
	       sum.refused, sum.kills);
	return violations > 0;
}
