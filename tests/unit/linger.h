/*
 * `peldr run linger.exe` as a child: a program that stays until it is told to end.
 */
#ifndef TESTS_UNIT_LINGER_H
#define TESTS_UNIT_LINGER_H

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What linger.c has: this many pages of each, all read, the second one of the data written. */
enum { LINGER_PAGES = 16 };

struct linger {
    pid_t pid;
    FILE *out;
    int in;
    uint64_t data, constants;
};

/* Any program whose first line says that it is ready, and whose end is that of its input. */
static inline bool linger_spawn(struct linger *l, char *const argv[], char *line, int room)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        abort();
    fflush(NULL);
    l->pid = fork();
    if (l->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    l->in = to[1];
    l->out = fdopen(from[0], "r");
    line[0] = '\0';
    return fgets(line, room, l->out) != NULL;
}

/* False when it printed something else than its addresses. `dll` may be NULL. */
static inline bool linger_start(struct linger *l, const char *command, const char *exe,
                                const char *dll)
{
    char *argv[] = {(char *)command, "run", (char *)exe, (char *)dll, NULL};
    char line[4096];
    if (linger_spawn(l, argv, line, sizeof line) &&
        sscanf(line, "data %" SCNx64 " constants %" SCNx64, &l->data, &l->constants) == 2)
        return true;
    fprintf(stderr, "linger.exe: %s\n", line);
    return false;
}

/* Its wait status; `signal_number` 0 = it ends by itself. */
static inline int linger_end(struct linger *l, int signal_number)
{
    int status = -1;
    if (signal_number)
        kill(l->pid, signal_number);
    close(l->in);
    waitpid(l->pid, &status, 0);
    fclose(l->out);
    return status;
}

#endif
