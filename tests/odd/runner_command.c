/*
 * Odd images, the runner: a command with its output, killed when it does not end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/odd/runner.h"

enum { TIMEOUT_MS = 60000, MAX_OUTPUT = 1 << 20 };

struct text {
    int fd;
    char *data;
    size_t size;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static pid_t start(const char *const *argv, const char *dir, const int out[2], const int err[2])
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    if (chdir(dir) == 0)
        execv(argv[0], (char *const *)argv);
    perror(argv[0]);
    _exit(127);
}

/* Reads on; false at the end. What is beyond MAX_OUTPUT is thrown away. */
static bool receive(struct text *text)
{
    char buffer[4096];
    ssize_t n = read(text->fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR)
        return true;
    for (ssize_t i = 0; i < n && text->size < MAX_OUTPUT; i++)
        if (buffer[i] != '\r' && buffer[i] != '\0')
            text->data[text->size++] = buffer[i];
    text->data[text->size] = '\0';
    return n > 0;
}

/* Both outputs to their ends; false when time is over before. */
static bool receive_all(struct text *texts)
{
    int64_t end = now_ms() + TIMEOUT_MS;
    struct pollfd fds[2] = {{texts[0].fd, POLLIN, 0}, {texts[1].fd, POLLIN, 0}};
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        int64_t left = end - now_ms();
        if (left <= 0 || (poll(fds, 2, (int)left) < 0 && errno != EINTR))
            return false;
        for (int i = 0; i < 2; i++)
            if (fds[i].fd >= 0 && fds[i].revents && !receive(&texts[i]))
                fds[i].fd = -1;
    }
    return true;
}

int odd_command(const char *const *argv, const char *dir, char **out, char **err)
{
    int out_pipe[2], err_pipe[2], status = 0;
    fflush(NULL);
    if (pipe2(out_pipe, O_CLOEXEC) != 0 || pipe2(err_pipe, O_CLOEXEC) != 0)
        abort();
    pid_t pid = start(argv, dir, out_pipe, err_pipe);
    close(out_pipe[1]);
    close(err_pipe[1]);
    struct text texts[2] = {{out_pipe[0], calloc(1, MAX_OUTPUT + 1), 0},
                            {err_pipe[0], calloc(1, MAX_OUTPUT + 1), 0}};
    if (pid < 0 || !texts[0].data || !texts[1].data)
        abort();
    bool ended = receive_all(texts);
    if (!ended)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(out_pipe[0]);
    close(err_pipe[0]);
    *out = texts[0].data;
    *err = texts[1].data;
    if (!ended)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
