/*
 * Where the peldr command is that runs a child: peldr for PE32+, peldr32 for PE32.
 *
 * In this order: beside this program when it is the command itself; what PELDR_COMMAND names, or
 * its sibling; the bin directory that belongs to libpeldr's; PATH.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/win32/child.h"
#include "pe/image.h"

static const char *const names[] = {"peldr", "peldr32"};

static bool is_command(const char *path)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    return !strcmp(base, names[0]) || !strcmp(base, names[1]);
}

/* `directory` of `length` characters (0 = the current one) with the command's name. */
static bool try(const char *directory, size_t length, const char *tail, const char *name, char *out,
                size_t size)
{
    int used = snprintf(out, size, "%.*s%s/%s", (int)length, directory, tail, name);
    return used > 0 && (size_t)used < size && access(out, X_OK) == 0;
}

/* Beside the file `path`. */
static bool try_beside(const char *path, const char *tail, const char *name, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    return slash && try(path, (size_t)(slash - path), tail, name, out, size);
}

static bool beside_self(const char *name, char *out, size_t size)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[length > 0 ? length : 0] = 0;
    return is_command(self) && try_beside(self, "", name, out, size);
}

static bool by_variable(const char *name, char *out, size_t size)
{
    char path[PATH_MAX];
    const char *value = getenv("PELDR_COMMAND");
    return value && realpath(value, path) && try_beside(path, "", name, out, size);
}

/* lib/libpeldr.so and lib/TRIPLET/libpeldr.so stand beside bin. */
static bool beside_library(const char *name, char *out, size_t size)
{
    Dl_info info;
    char path[PATH_MAX];
    if (!dladdr((const void *)&names, &info) || !realpath(info.dli_fname, path))
        return false;
    return try_beside(path, "/../bin", name, out, size) ||
           try_beside(path, "/../../bin", name, out, size);
}

static bool on_path(const char *name, char *out, size_t size)
{
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t length = strcspn(at, ":");
        if (*at == '/' && try(at, length, "", name, out, size))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

bool child_command(uint16_t machine, char *out, size_t size)
{
    const char *name = names[machine == IMAGE_FILE_MACHINE_I386];
    if (beside_self(name, out, size) || by_variable(name, out, size) ||
        beside_library(name, out, size) || on_path(name, out, size))
        return true;
    fprintf(stderr,
            "peldr: a %s-bit program cannot be started: the command %s is neither beside this "
            "program or libpeldr nor on PATH, and PELDR_COMMAND does not name it\n",
            machine == IMAGE_FILE_MACHINE_I386 ? "32" : "64", name);
    return false;
}
