/*
 * The parts of the runner of odd images (test_odd.c): what one image is checked for, for one
 * Windows version. Each check adds what is wrong to a list of complaints.
 */
#ifndef TESTS_ODD_RUNNER_H
#define TESTS_ODD_RUNNER_H

#include "tests/odd/odd.h"

struct odd_case {
    const struct odd_row *row;
    struct odd odd;  /* built */
    char dir[512];   /* which holds the image and its DLLs */
    char path[1024]; /* the image */
    enum pe_windows windows;
    const char *version; /* "xp", "7", "10" */
    const char *refused; /* row->refused of this version */
    char *complaints;    /* lines */
};

/* Adds a line: row, version, text. */
void odd_complain(struct odd_case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What the rules say of the file. */
void odd_check_verdict(struct odd_case *c);
/* What is mapped of it, and its content (row->map, row->bytes). In this process. */
void odd_check_view(struct odd_case *c);
/* What the command says, and what the program prints. */
void odd_check_run(struct odd_case *c);

/* True where the row says that this version refuses it by one rule alone. */
bool odd_is_alone(const struct odd_row *row, enum pe_windows windows);
/* True where the row says that this version runs it. */
bool odd_is_run(const struct odd_case *c);

/* Runs `argv` with `dir` as its directory; standard output and error as texts (malloc'ed, without
 * CR). The exit status; 128 + signal; -1 = killed because it did not end. */
int odd_command(const char *const *argv, const char *dir, char **out, char **err);

#endif
