#pragma once
/* Runs a scenario (loop.c) and returns the exit status: 0 without violations, 1 with some, 2 for a bad scenario. */
int run_scenario(const char *path);
