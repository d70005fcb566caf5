/*
 * One exact count of system calls over all threads and children of a program, and a fault at the Nth of them.
 */
#pragma once
#include <stdbool.h>
#include <stdio.h>

enum fault_mode {
	FAULT_NONE,
	FAULT_KILL,	  /* SIGKILL to all of it before the Nth call happens */
	FAULT_KILL_AFTER, /* SIGKILL to all of it when the Nth call has happened */
	FAULT_FAIL,	  /* the Nth call is not made and returns -error */
};

struct fault {
	enum fault_mode mode;
	long at;	    /* from 1 */
	int error;	    /* FAULT_FAIL; 0: one that fits the call */
	bool changing_only; /* count only the calls that can change something outside of the process */
	FILE *list;	    /* each counted call, one line; or NULL */
	int seconds;	    /* until it is taken for hung and killed; 0: never */
};

struct outcome {
	int status;    /* as from waitpid(2) */
	long calls;    /* counted, until the fault at most */
	bool hit;      /* the Nth call came */
	bool hung;
	int error;     /* what FAULT_FAIL returned */
	char call[64]; /* the Nth: its name, for openat the path's end */
};

/* Runs a program under the tracer, with these as its descriptors 0, 1 and 2. Ends the process if it cannot be run. */
struct outcome trace(const char *path, char *const argv[], char *const envp[], const int fds[3], struct fault fault);

const char *signal_text(int status);
