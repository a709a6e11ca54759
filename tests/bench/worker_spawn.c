/* A contender that is a whole process: from posix_spawn until it has ended. */
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/host_contenders.h"

extern char **environ;
static char **command;
static posix_spawn_file_actions_t actions;
static pid_t child;

static void prepare(const struct options *options)
{
    command = options->arguments;
    if (posix_spawn_file_actions_init(&actions) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) != 0)
        fail("no memory");
}

static void start(void)
{
    int error = posix_spawn(&child, command[0], &actions, NULL, command, environ);
    if (error != 0)
        fail("%s: %s", command[0], strerror(error));
}

static void wait_for_it(void)
{
    int status;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail("%s failed", command[0]);
}

const struct contender contender_spawn = {
    .name = "spawn", .prepare = prepare, .load = start, .unload = wait_for_it};
