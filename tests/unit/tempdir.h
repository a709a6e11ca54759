/*
 * A directory for one test program, removed with all that it holds, and files in it.
 */
#ifndef TESTS_TEMPDIR_H
#define TESTS_TEMPDIR_H

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char tempdir[PATH_MAX];

static inline int tempdir_create(void)
{
    const char *base = getenv("TMPDIR");
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s/peldr-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(name) != NULL && realpath(name, tempdir) != NULL ? 0 : -1;
}

static inline int tempdir_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
    return remove(path);
}

static inline int tempdir_remove(void)
{
    return nftw(tempdir, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The absolute path of `name` inside, in one of a few rotating buffers. */
static inline const char *tempdir_path(const char *name)
{
    static char paths[4][2 * PATH_MAX];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", tempdir, name);
    return path;
}

static inline void tempdir_mkdir(const char *name)
{
    if (mkdir(tempdir_path(name), 0755) != 0)
        abort();
}

/* With a cache of images and a runtime directory in it, which are this process's from now on. */
static inline int tempdir_create_for_images(void)
{
    if (tempdir_create() != 0)
        return -1;
    setenv("PELDR_CACHE", tempdir_path("cache"), 1);
    tempdir_mkdir("run");
    chmod(tempdir_path("run"), 0700);
    return setenv("XDG_RUNTIME_DIR", tempdir_path("run"), 1);
}

/* Removes the files in a folder of it, if it is there. */
static inline void tempdir_empty(const char *name)
{
    DIR *folder = opendir(tempdir_path(name));
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        unlinkat(dirfd(folder), entry->d_name, 0); /* but not "." and ".." */
    if (folder != NULL)
        closedir(folder);
}

static inline void tempdir_write(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(tempdir_path(name), "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        abort();
}

#endif
