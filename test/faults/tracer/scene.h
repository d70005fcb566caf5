/*
 * What happens around faults: a scenario's configurations, calls of plugins, network namespaces, and what must be as
 * before.
 */
#pragma once
#include "tracer.h"

enum { MAX_STEPS = 32, MAX_WORDS = 16, MAX_CONFIGS = 16 };

/* A line of a scenario. */
struct step {
	int count;
	char *words[MAX_WORDS + 1];
};

struct scenario {
	enum fault_mode mode;
	const char *cni_path;
	struct step configs[MAX_CONFIGS], before[MAX_STEPS], after[MAX_STEPS], watched[MAX_STEPS], vfs[MAX_CONFIGS];
	struct step reset, target, storm;
	int config_count, before_count, after_count, watched_count, vf_count;
};
extern struct scenario scenario;

/* Reads a scenario. Ends the process for one that cannot be understood. */
void read_scenario(const char *path);

/* Makes all as it should be, and remembers what it looks like then. */
void reset(void);
/* Says where what is watched is not as after `reset`, if it stays so for a few seconds. */
void require_same(const char *what);

/* Reports what is not as it has to be: once, whatever follows, until `violated` is false again. */
void violation(const char *format, ...);
extern bool violated;
extern long violations;
/* Of what is going on, for the report: a number and words. */
extern long place;
extern char place_text[64];

/* A plugin, about to be called as a container runtime calls it: PROGRAM VERB CONFIG CONTAINER NETNS|- */
struct call {
	char *arguments[8];
	char *program;
	char *environment[8];
	char storage[6][512];
	int fds[3];
};
void prepare_call(struct call *call, char *const *words);
void end_call(struct call *call);
/* Calls it; a violation if it fails. */
void call_plugin(char *const *words);
/* All that a descriptor has, from its beginning. To be freed. */
char *content(int fd);

void make_namespace(const char *name);
void remove_namespace(const char *name);
double now(void);
void pause_shortly(void);
void die(const char *what);
