/*
 * The tracer: ptrace(2) with system call stops, nothing else. One process that sees every entry of every thread in
 * turn, so the count is exact (strace's injection counts per thread).
 *
 * By hand:  tracer count|changes -- PROGRAM ARGS        lists the calls
 *           tracer kill|kill-after N -- PROGRAM ARGS
 *           tracer fail N ERRNO -- PROGRAM ARGS         ERRNO a number; 0: one that fits the call
 * The calls count from the program's first instruction: execve itself is not among them.
 */
#define _GNU_SOURCE
#include "tracer.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "setting the number and the result of a system call is written for x86-64 only"
#endif

static const char *const names[] = {
#include "names.h" /* [__NR_read] = "read", ... made by tracer.ts from the C library's header */
};

static const char *name_of(unsigned long number)
{
	return number < sizeof(names) / sizeof(names[0]) && names[number] ? names[number] : "?";
}

/* Whether the call can change something that outlives the process. Sends are changes unless proven otherwise. */
static bool changes(pid_t tid, const struct __ptrace_syscall_info *info)
{
	switch (info->entry.nr) {
	case SYS_open:
		return info->entry.args[1] & (O_ACCMODE | O_CREAT | O_TRUNC);
	case SYS_openat:
		return info->entry.args[2] & (O_ACCMODE | O_CREAT | O_TRUNC);
	case SYS_write: case SYS_pwrite64: case SYS_writev: case SYS_pwritev: case SYS_pwritev2:
	case SYS_sendto: case SYS_sendmsg: case SYS_sendmmsg:
	case SYS_openat2: case SYS_creat: case SYS_truncate: case SYS_ftruncate: case SYS_fallocate: case SYS_copy_file_range:
	case SYS_rename: case SYS_renameat: case SYS_renameat2: case SYS_link: case SYS_linkat: case SYS_symlink: case SYS_symlinkat:
	case SYS_unlink: case SYS_unlinkat: case SYS_rmdir: case SYS_mkdir: case SYS_mkdirat: case SYS_mknod: case SYS_mknodat:
	case SYS_chmod: case SYS_fchmod: case SYS_fchmodat: case SYS_chown: case SYS_fchown: case SYS_fchownat:
	case SYS_ioctl: case SYS_mount: case SYS_umount2: case SYS_unshare: case SYS_kill:
	case SYS_fork: case SYS_vfork: case SYS_execve: case SYS_execveat:
	case SYS_exit_group: /* the place where all has been done */
		return true;
	/* Threads end with their process, and Go starts another number of them each time. */
	case SYS_clone:
		return !(info->entry.args[0] & CLONE_THREAD);
	case SYS_clone3:
		return !(ptrace(PTRACE_PEEKDATA, tid, info->entry.args[0], 0) & CLONE_THREAD);
	default:
		return false;
	}
}

/* These have no result that could be an error. */
static bool can_fail(unsigned long number)
{
	return number != SYS_exit_group && number != SYS_exit && number != SYS_rt_sigreturn;
}

/* What a kernel in trouble could answer. */
static int likely_error(unsigned long number)
{
	switch (number) {
	case SYS_mmap: case SYS_mremap: case SYS_brk: case SYS_mprotect: case SYS_munmap: case SYS_madvise:
	case SYS_clone: case SYS_clone3: case SYS_fork: case SYS_vfork: case SYS_setns:
		return ENOMEM;
	case SYS_socket: case SYS_openat:
		return EMFILE;
	case SYS_sendto: case SYS_sendmsg: case SYS_recvfrom: case SYS_recvmsg: case SYS_setsockopt: case SYS_bind:
		return ENOBUFS;
	case SYS_getrandom:
		return ENOSYS;
	default:
		return EIO;
	}
}

/* A string of the traced program; short ones are enough for messages. */
static void read_string(pid_t tid, unsigned long address, char *text, size_t size)
{
	size_t at = 0;

	while (at + sizeof(long) < size) {
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, tid, address + at, 0);
		if (errno)
			break;
		memcpy(text + at, &word, sizeof(word));
		if (memchr(&word, 0, sizeof(word)))
			return;
		at += sizeof(word);
	}
	text[at] = 0;
}

static void describe(pid_t tid, const struct __ptrace_syscall_info *info, char *text, size_t size)
{
	const char *name = name_of(info->entry.nr);
	char path[256] = "";
	size_t length;

	switch (info->entry.nr) {
	case SYS_openat: case SYS_unlinkat: case SYS_mkdirat: case SYS_newfstatat: case SYS_readlinkat: case SYS_statx:
		read_string(tid, info->entry.args[1], path, sizeof(path));
		length = strlen(path);
		snprintf(text, size, "%s %s", name, length > 44 ? path + length - 44 : path);
		break;
	case SYS_renameat: case SYS_renameat2:
		read_string(tid, info->entry.args[3], path, sizeof(path));
		length = strlen(path);
		snprintf(text, size, "%s -> %s", name, length > 40 ? path + length - 40 : path);
		break;
	case SYS_write: case SYS_close: case SYS_read: case SYS_sendto: case SYS_sendmsg: case SYS_recvmsg: case SYS_recvfrom:
	case SYS_setns: case SYS_fsync: case SYS_flock:
		snprintf(text, size, "%s %d", name, (int)info->entry.args[0]);
		break;
	default:
		snprintf(text, size, "%s", name);
	}
}

enum { MAX_TASKS = 1024 };
static pid_t tasks[MAX_TASKS];
static int task_count;
static volatile sig_atomic_t alarm_rang;

static void on_alarm(int number)
{
	(void)number;
	alarm_rang = 1;
}

static void remember(pid_t tid)
{
	for (int i = 0; i < task_count; i++)
		if (tasks[i] == tid)
			return;
	if (task_count == MAX_TASKS) {
		fprintf(stderr, "tracer: more than %d tasks\n", MAX_TASKS);
		exit(70);
	}
	tasks[task_count++] = tid;
}

static void forget(pid_t tid)
{
	for (int i = 0; i < task_count; i++)
		if (tasks[i] == tid)
			tasks[i] = tasks[--task_count];
}

static void kill_all(void)
{
	for (int i = 0; i < task_count; i++)
		syscall(SYS_tkill, tasks[i], SIGKILL);
}

static pid_t start(const char *path, char *const argv[], char *const envp[], const int fds[3])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < 3; i++)
			if (fds[i] != i && dup2(fds[i], i) < 0)
				_exit(126);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execve(path, argv, envp);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC |
		   PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK) < 0) {
		perror("tracer: cannot trace");
		exit(70);
	}
	return pid;
}

struct run {
	struct fault fault;
	struct outcome outcome;
	/* Of the call that is to fail, or to be killed after: the task that makes it. */
	pid_t pending;
	bool injected;
};

/* One stop of one task at the beginning or the end of a call. */
static void at_call(struct run *run, pid_t tid)
{
	struct __ptrace_syscall_info info;
	struct outcome *outcome = &run->outcome;

	if (run->injected || ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && tid == run->pending) {
		if (run->fault.mode == FAULT_FAIL)
			ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rax), (long)-outcome->error);
		else
			kill_all();
		run->injected = true;
		return;
	}
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || outcome->hit ||
	    (run->fault.changing_only && !changes(tid, &info)) || (run->fault.mode == FAULT_FAIL && !can_fail(info.entry.nr)))
		return;
	outcome->calls++;
	if (run->fault.list) {
		char text[64];

		describe(tid, &info, text, sizeof(text));
		fprintf(run->fault.list, "%ld%s %s\n", outcome->calls, changes(tid, &info) ? "*" : "", text);
	}
	if (run->fault.mode == FAULT_NONE || outcome->calls != run->fault.at)
		return;
	outcome->hit = true;
	describe(tid, &info, outcome->call, sizeof(outcome->call));
	if (run->fault.mode == FAULT_KILL_AFTER) {
		run->pending = tid;
		return;
	}
	/* No call has this number: the kernel makes none. */
	ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, orig_rax), -1L);
	if (run->fault.mode == FAULT_KILL) {
		kill_all();
		run->injected = true;
	} else {
		outcome->error = run->fault.error ? run->fault.error : likely_error(info.entry.nr);
		run->pending = tid;
	}
}

struct outcome trace(const char *path, char *const argv[], char *const envp[], const int fds[3], struct fault fault)
{
	struct run run = { .fault = fault };
	bool started = false;
	pid_t leader, tid;
	int status;

	task_count = 0;
	alarm_rang = 0;
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_sec = fault.seconds }, NULL);
	leader = start(path, argv, envp, fds);
	remember(leader);
	ptrace(PTRACE_SYSCALL, leader, 0, 0);
	for (;;) {
		int signal_number, deliver = 0;

		tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR) {
			if (alarm_rang) {
				run.outcome.hung = true;
				kill_all();
			}
			continue;
		}
		if (tid < 0)
			break;
		if (!WIFSTOPPED(status)) {
			if (tid == leader)
				run.outcome.status = status;
			forget(tid);
			continue;
		}
		remember(tid);
		signal_number = WSTOPSIG(status);
		if (signal_number == (SIGTRAP | 0x80)) {
			if (started)
				at_call(&run, tid);
		} else if (status >> 16) {
			if (status >> 16 == PTRACE_EVENT_EXEC)
				started = true;
		} else if (signal_number != SIGSTOP) {
			deliver = signal_number;
		}
		/* After the fault nothing is counted: full speed. */
		ptrace(run.injected ? PTRACE_CONT : PTRACE_SYSCALL, tid, 0, deliver);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	return run.outcome;
}

const char *signal_text(int status)
{
	static char text[64];

	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "exit status %d", WEXITSTATUS(status));
	return text;
}
