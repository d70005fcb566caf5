#pragma once
/* Runs the scenario's storm (storm.c) and returns the exit status. */
int run_storm(void);
