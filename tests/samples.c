/* See samples.h. */
#include "tests/samples.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *const sample_sets[] = {
#if defined(__x86_64__)
    "clang64", "mingw64",
#else
    "clang32", "mingw32",
#endif
    NULL};

static const char *root(void)
{
    const char *dir = getenv("PELDR_TEST_SAMPLES");
    return dir ? dir : "build/samples";
}

bool sample_path(const char *set, const char *name, char path[SAMPLE_PATH_MAX])
{
    snprintf(path, SAMPLE_PATH_MAX, "%s/%s/%s", root(), set, name);
    return access(path, R_OK) == 0;
}

static int is_dll(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 4 && strcmp(entry->d_name + n - 4, ".dll") == 0;
}

char *const *sample_dlls(const char *set)
{
    static char *names[256];
    char dir[SAMPLE_PATH_MAX];
    struct dirent **entries;
    int n, i;
    for (i = 0; names[i]; i++)
        free(names[i]);
    snprintf(dir, sizeof dir, "%s/%s", root(), set);
    n = scandir(dir, &entries, is_dll, alphasort);
    for (i = 0; i < n; i++) {
        names[i] = i < 255 ? strdup(entries[i]->d_name) : NULL;
        free(entries[i]);
    }
    names[n < 0 ? 0 : n < 255 ? n : 255] = NULL;
    if (n >= 0)
        free(entries);
    return names;
}

void *sample_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    if (!file || fseek(file, 0, SEEK_END) != 0)
        abort();
    *size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*size ? *size : 1);
    if (!bytes || fread(bytes, 1, *size, file) != *size)
        abort();
    fclose(file);
    return bytes;
}

void sample_copy(const char *from, const char *to)
{
    size_t size;
    void *bytes = sample_read(from, &size);
    FILE *file = fopen(to, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        abort();
    free(bytes);
}

static size_t count_lines(const char *path)
{
    char buffer[65536];
    size_t lines = 0;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buffer[i] == '\n';
    close(fd);
    return lines;
}

static size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/*
 * Other processes of the user may look at this one at any time (a test that lists processes runs
 * beside this one): then its service holds a connection for a moment. Its memory comes from the one
 * arena, so that the first such look does not show as a mapping more.
 */
__attribute__((constructor)) static void use_one_arena(void)
{
    mallopt(M_ARENA_MAX, 1);
}

struct held held_now(void)
{
    struct held held = {.heap = mallinfo2().uordblks};
    const struct timespec pause = {0, 2000000};
    held.fds = count_fds();
    for (int i = 0; i < 3; i++) {
        nanosleep(&pause, NULL);
        size_t fds = count_fds();
        held.fds = fds < held.fds ? fds : held.fds;
    }
    held.maps = count_lines("/proc/self/maps");
    return held;
}

struct held held_since(const struct held *before)
{
    const struct timespec pause = {0, 20000000};
    struct held held = held_now();
    for (int i = 0;
         i < 100 && (held.fds > before->fds || (HELD_IS_EXACT && held.maps > before->maps)); i++) {
        nanosleep(&pause, NULL);
        held = held_now();
    }
    return held;
}
