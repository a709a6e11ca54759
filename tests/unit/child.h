/*
 * Running what ends a process.
 */
#ifndef TESTS_UNIT_CHILD_H
#define TESTS_UNIT_CHILD_H

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `body` in a child: its exit status, or minus the signal that ended it. What it writes on
 * standard error goes to `text`. */
static int status_of(void (*body)(void), char *text, size_t size)
{
    int pipes[2], status = -1;
    fflush(NULL);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        body();
        _exit(99);
    }
    close(pipes[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(pipes[0], text + got, size - 1 - got)) > 0;)
        got += (size_t)n;
    text[got] = 0;
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif
