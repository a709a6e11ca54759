/*
 * Another process in which peldr runs, for tests between processes: the program ob_peer or
 * another one, of either word size, which obeys lines on its standard input.
 */
#ifndef TESTS_UNIT_PEER_H
#define TESTS_UNIT_PEER_H

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct peer {
    pid_t pid;
    FILE *to, *from;
};

static inline void peer_path(char *path, size_t size, const char *program, int word)
{
    snprintf(path, size, "%s/%s%s", getenv("PELDR_TEST_PEERS"), program, word == 32 ? "32" : "");
}

static inline struct peer peer_start_program(const char *program, int word)
{
    struct peer peer;
    int in[2], out[2];
    char path[4096];
    peer_path(path, sizeof path, program, word);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        abort();
    fflush(NULL);
    peer.pid = fork();
    if (peer.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(path, path, (char *)NULL);
        perror(path);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    peer.to = fdopen(in[1], "w");
    peer.from = fdopen(out[0], "r");
    char line[64];
    if (!fgets(line, sizeof line, peer.from) || strcmp(line, "ready\n") != 0)
        abort();
    return peer;
}

static inline struct peer peer_start_word(int word)
{
    return peer_start_program("ob_peer", word);
}

static inline struct peer peer_start(void)
{
    return peer_start_word((int)sizeof(void *) * 8);
}

static inline bool peer_has_word(int word)
{
    char path[4096];
    peer_path(path, sizeof path, "ob_peer", word);
    return access(path, X_OK) == 0;
}

/* What it says to the last line: one or two numbers. */
static inline uint32_t peer_answer(struct peer *peer, uint32_t *second)
{
    char line[64];
    unsigned first = 0, next = 0;
    if (!fgets(line, sizeof line, peer->from) || sscanf(line, "%u %u", &first, &next) < 1)
        abort();
    if (second)
        *second = next;
    return first;
}

__attribute__((format(printf, 2, 3))) static inline void peer_tell(struct peer *peer,
                                                                   const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(peer->to, fmt, args);
    va_end(args);
    fputc('\n', peer->to);
    fflush(peer->to);
}

#define peer_ask(peer, ...)          (peer_tell(peer, __VA_ARGS__), peer_answer(peer, NULL))
#define peer_ask2(peer, second, ...) (peer_tell(peer, __VA_ARGS__), peer_answer(peer, second))

static inline void peer_close(struct peer *peer)
{
    fclose(peer->to);
    fclose(peer->from);
}

/* After somebody has ended it. */
static inline int peer_reap(struct peer *peer)
{
    int status = -1;
    peer_close(peer);
    if (waitpid(peer->pid, &status, 0) != peer->pid)
        abort();
    return status;
}

static inline int peer_exit(struct peer *peer, int code)
{
    peer_tell(peer, "exit %d", code);
    return peer_reap(peer);
}

static inline void peer_kill(struct peer *peer)
{
    kill(peer->pid, SIGKILL);
    peer_reap(peer);
}

/* Open descriptors of this process. */
static inline uint32_t count_descriptors(void)
{
    uint32_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1; /* the directory's own */
}

#endif
