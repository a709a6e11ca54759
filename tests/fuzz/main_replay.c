/*
 * Replays a fuzz target without an engine, as an ordinary test: over the seed images
 * (tests/seeds.h), the files given and those in the directories given. Each is run whole, as every
 * version of Windows, cut at every 16th byte (files above 1.5 KiB: in 96 steps), and with single
 * bytes changed, always the same ones; those of a corpus (--whole) only whole.
 *
 *     replay_pe [FILE | DIRECTORY]... [--whole [FILE | DIRECTORY]...]
 *     replay_pe --write-seeds DIRECTORY      (a corpus to start from)
 */
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "tests/seeds.h"

#define MAX_FILE      (20u << 10) /* larger ones are passed over; the engines are told the same */
#define MAX_CUTS      96u
#define CHANGES       64u
#define HEADERS_BYTES 1024u /* half of the changes go here */

static unsigned long files, runs;
static bool only_whole;

static void run(const uint8_t *bytes, size_t size)
{
    LLVMFuzzerTestOneInput(bytes, size);
    runs++;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void replay_changed(uint8_t *bytes, size_t size)
{
    uint32_t state = 1;
    for (uint32_t i = 0; size && i < CHANGES; i++) {
        size_t span = i % 2 && size > HEADERS_BYTES ? HEADERS_BYTES : size;
        size_t at = next_random(&state) % span;
        uint8_t value = bytes[at];
        bytes[at] = (uint8_t)next_random(&state);
        run(bytes, size);
        bytes[at] = value;
    }
}

/* As it stands, and as the other versions of Windows. */
static void replay_whole(uint8_t *bytes, size_t size)
{
    run(bytes, size);
    for (unsigned i = 1; i < FUZZ_VERSIONS && size > FUZZ_VERSION_AT; i++) {
        uint8_t value = bytes[FUZZ_VERSION_AT];
        bytes[FUZZ_VERSION_AT] = (uint8_t)(value % FUZZ_VERSIONS + i);
        run(bytes, size);
        bytes[FUZZ_VERSION_AT] = value;
    }
}

static void replay_bytes(uint8_t *bytes, size_t size)
{
    size_t step = size / 16 > MAX_CUTS ? size / MAX_CUTS : 16;
    files++;
    replay_whole(bytes, size);
    if (only_whole)
        return;
    for (size_t cut = 0; cut < size; cut += step)
        run(bytes, cut);
    replay_changed(bytes, size);
}

static void replay_seeds(void)
{
    for (uint32_t i = 0; i < seed_count; i++) {
        uint64_t size;
        uint8_t *bytes = seeds[i].make(&size);
        replay_bytes(bytes, (size_t)size);
        free(bytes);
    }
}

static int replay_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(size + 1);
    bool ok = f && bytes && fread(bytes, 1, size, f) == size;
    if (ok)
        replay_bytes(bytes, size);
    else
        fprintf(stderr, "%s: cannot be read\n", path);
    free(bytes);
    if (f)
        fclose(f);
    return ok ? 0 : 1;
}

/* Files that a build makes beside the images are left out; corpora have no extensions. */
static bool is_input(const char *name)
{
    const char *dot = strrchr(name, '.');
    return !dot || !strcasecmp(dot, ".dll") || !strcasecmp(dot, ".exe");
}

/* A path that does not exist is no failure: samples need their toolchains. */
static int replay_path(const char *path, int depth)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return 0;
    if (S_ISREG(st.st_mode))
        return is_input(path) && st.st_size <= MAX_FILE ? replay_file(path, (size_t)st.st_size) : 0;
    DIR *dir = S_ISDIR(st.st_mode) && depth < 4 ? opendir(path) : NULL;
    int result = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char inner[PATH_MAX];
        if (e->d_name[0] == '.')
            continue;
        if (snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name) < (int)sizeof(inner))
            result |= replay_path(inner, depth + 1);
    }
    if (dir)
        closedir(dir);
    return result;
}

static int write_seeds(const char *directory)
{
    int result = 0;
    for (uint32_t i = 0; i < seed_count; i++) {
        uint64_t size;
        uint8_t *bytes = seeds[i].make(&size);
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/%s", directory, seeds[i].name);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(bytes, 1, (size_t)size, f) != size)
            result = 1;
        if (f && fclose(f) != 0)
            result = 1;
        free(bytes);
    }
    return result;
}

int main(int argc, char **argv)
{
    int result = 0;
    if (argc == 3 && strcmp(argv[1], "--write-seeds") == 0)
        return write_seeds(argv[2]);
    replay_seeds();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--whole") == 0)
            only_whole = true;
        else
            result |= replay_path(argv[i], 0);
    }
    printf("%lu files, %lu runs\n", files, runs);
    return result;
}
