/*
 * Starting a child: the host's process, the letter, and waiting until the child is set up
 * (child.h).
 *
 * The child begins with four descriptors: its standard streams and the socket. posix_spawn(3)
 * starts it without copying this process's page tables.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ob/process.h"
#include "loader/win32/child.h"
#include "loader/win32/errors.h"

#define SOCKET_FD 3

/* ---- the host's process -------------------------------------------------------------------------
 */

/* Out of the way of the descriptors 0 to 3, which the child gets anew; the caller closes it. */
static int lift(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, SOCKET_FD + 1);
}

struct spawn {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int lifted[4]; /* streams and socket; -1 = none */
};

static int prepare_streams(struct spawn *spawn, const int *streams, int socket)
{
    int error = 0;
    for (int i = 0; i < 4 && !error; i++) {
        int fd = i < 3 ? streams[i] : socket;
        spawn->lifted[i] = fd < 0 ? -1 : lift(fd);
        if (fd >= 0 && spawn->lifted[i] < 0)
            error = errno;
        else if (fd < 0)
            error = posix_spawn_file_actions_addopen(&spawn->actions, i, "/dev/null", O_RDWR, 0);
        else
            error = posix_spawn_file_actions_adddup2(&spawn->actions, spawn->lifted[i], i);
    }
    return error;
}

/* A process begins with nothing blocked, whatever this thread is in the middle of. */
static int prepare(struct spawn *spawn, const struct child_start *how, int socket)
{
    sigset_t none;
    short flags = POSIX_SPAWN_SETSIGMASK;
    sigemptyset(&none);
    if (how->detached)
        flags |= POSIX_SPAWN_SETSID;
    int error = prepare_streams(spawn, how->streams, socket);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&spawn->actions, SOCKET_FD + 1);
    if (!error && how->directory)
        error = posix_spawn_file_actions_addchdir_np(&spawn->actions, how->directory);
    if (!error)
        error = posix_spawnattr_setsigmask(&spawn->attributes, &none);
    return error ? error : posix_spawnattr_setflags(&spawn->attributes, flags);
}

/* 0 or an errno value. The image's path is there for whoever lists the host's processes. */
static int spawn(const char *command, const struct child_start *how, int socket, pid_t *pid)
{
    struct spawn spawn = {.lifted = {-1, -1, -1, -1}};
    char *argv[] = {(char *)(uintptr_t)command, "run", "--child=3", how->image->path, NULL};
    int error = posix_spawn_file_actions_init(&spawn.actions);
    if (error)
        return error;
    error = posix_spawnattr_init(&spawn.attributes);
    if (!error) {
        error = prepare(&spawn, how, socket);
        if (!error)
            error = posix_spawn(pid, command, &spawn.actions, &spawn.attributes, argv, environ);
        posix_spawnattr_destroy(&spawn.attributes);
    }
    posix_spawn_file_actions_destroy(&spawn.actions);
    for (int i = 0; i < 4; i++) {
        if (spawn.lifted[i] >= 0)
            close(spawn.lifted[i]);
    }
    return error;
}

/* ---- until it is set up -------------------------------------------------------------------------
 */

/* The socket alone would not do: another process that the host forks may hold a copy of the
 * child's end for a moment. */
static nt_status wait_for_report(int socket, int pidfd, struct child_report *report)
{
    struct pollfd ready[] = {{.fd = socket, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    while (poll(ready, 2, -1) < 0 && errno == EINTR)
        ;
    ssize_t got =
        recv(socket, report, sizeof(*report), ready[0].revents ? MSG_WAITALL : MSG_DONTWAIT);
    return got == (ssize_t)sizeof(*report) ? report->status : (nt_status)STATUS_UNSUCCESSFUL;
}

static void reap(int pidfd, pid_t pid)
{
    siginfo_t info;
    kill(pid, SIGKILL); /* ours, and not waited for yet: the id cannot be another's */
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
        ;
}

/* The child with its letter until it reports; on failure it is gone again. */
static nt_status introduce(pid_t pid, int pidfd, int socket, const struct child_letter *letter,
                           uint32_t *thread_id)
{
    struct child_report report = {0};
    nt_status status = child_letter_send(socket, letter);
    if (nt_ok(status))
        status = wait_for_report(socket, pidfd, &report);
    *thread_id = report.thread_id;
    if (!nt_ok(status))
        reap(pidfd, pid);
    return status;
}

static uint32_t start_with_socket(const char *command, const struct child_start *how,
                                  struct child_letter *letter, int ends[2],
                                  struct ob_object **process, uint32_t *process_id,
                                  uint32_t *thread_id)
{
    pid_t pid;
    int error = spawn(command, how, ends[1], &pid);
    close(ends[1]);
    if (error) {
        fprintf(stderr, "peldr: %s cannot be started (error %d)\n", command, error);
        return win32_error_of_errno(error);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        error = errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return win32_error_of_errno(error);
    }
    nt_status status = introduce(pid, pidfd, ends[0], letter, thread_id);
    if (!nt_ok(status)) {
        close(pidfd);
        return win32_error_of_status(status);
    }
    *process_id = (uint32_t)pid;
    status = ob_process_adopt((uint32_t)pid, pidfd, letter->record_fd, process, NULL);
    letter->record_fd = -1;
    return win32_error_of_status(status);
}

uint32_t child_start(const struct child_start *how, struct child_letter *letter,
                     struct ob_object **process, uint32_t *process_id, uint32_t *thread_id)
{
    char command[PATH_MAX];
    int ends[2];
    if (!child_command(how->image->machine, command, sizeof(command)))
        return ERROR_FILE_NOT_FOUND;
    nt_status status = ob_process_record_create(&letter->record_fd, NULL);
    if (!nt_ok(status)) {
        letter->record_fd = -1;
        return win32_error_of_status(status);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return win32_error_of_errno(errno);
    uint32_t error = start_with_socket(command, how, letter, ends, process, process_id, thread_id);
    close(ends[0]);
    return error;
}
