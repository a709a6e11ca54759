/*
 * The image cache's folder in use (cache_store.h): looked for when it is first needed, kept open,
 * and looked for again when somebody took it away.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"

/* `current` holds a reference; NULL = not looked for yet. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mm_cache_place *current;
static char *wanted; /* what mm_cache_set_place() was given; NULL = the environment's */
static uint64_t wanted_limit;

/* Lock held. NULL = no memory; the place may be one where no cache is. */
static struct mm_cache_place *look(void)
{
    if (current == NULL)
        current = mm_cache_place_open(wanted, wanted_limit);
    return current;
}

struct mm_cache_place *mm_cache_place_get(void)
{
    struct mm_cache_place *place;

    pthread_mutex_lock(&lock);
    place = look();
    if (place != NULL && place->dir < 0)
        place = NULL;
    if (place != NULL)
        __atomic_add_fetch(&place->references, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    return place;
}

void mm_cache_place_put(struct mm_cache_place *place)
{
    if (place == NULL || __atomic_sub_fetch(&place->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    mm_cache_place_close(place);
    free(place->path);
    free(place);
}

void mm_cache_place_forget(struct mm_cache_place *place)
{
    bool was_current;

    pthread_mutex_lock(&lock);
    was_current = current == place;
    if (was_current)
        current = NULL;
    pthread_mutex_unlock(&lock);
    if (was_current)
        mm_cache_place_put(place);
}

bool mm_cache_place_holds(const struct mm_cache_place *place)
{
    struct stat st;

    return fstat(place->dir, &st) == 0 && st.st_dev == place->dir_dev &&
           st.st_ino == place->dir_ino && st.st_nlink != 0 && st.st_uid == geteuid() &&
           (st.st_mode & 07777) == 0700;
}

/* A path from the root, malloc'ed. */
static char *absolute(const char *path)
{
    char *here, *whole = NULL;

    if (path[0] == '/')
        return strdup(path);
    here = getcwd(NULL, 0);
    if (here != NULL && asprintf(&whole, "%s/%s", strcmp(here, "/") == 0 ? "" : here, path) < 0)
        whole = NULL;
    free(here);
    return whole;
}

static void replace(char *place, uint64_t limit)
{
    struct mm_cache_place *before;
    char *old;

    pthread_mutex_lock(&lock);
    before = current;
    current = NULL;
    old = wanted;
    wanted = place;
    wanted_limit = limit;
    pthread_mutex_unlock(&lock);
    mm_cache_place_put(before);
    free(old);
}

nt_status mm_cache_set_place(const char *place, uint64_t limit, struct pe_error *err)
{
    const char *why;
    char *kept = NULL, *folder;

    if (place != NULL && place[0] == '\0')
        return pe_fail(err, STATUS_INVALID_PARAMETER, "the cache's folder has an empty name");
    if (place != NULL)
        kept = strcmp(place, "off") == 0 ? strdup(place) : absolute(place);
    if (place != NULL && kept == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the path of the cache's folder");
    replace(kept, limit);
    if (place == NULL || strcmp(place, "off") == 0)
        return STATUS_SUCCESS;
    /* A folder that was named and cannot be used is worth telling at once. */
    folder = mm_cache_folder(&why);
    free(folder);
    return folder != NULL ? STATUS_SUCCESS
                          : pe_fail(err, STATUS_OBJECT_PATH_NOT_FOUND,
                                    "%s cannot hold the image cache: %s", place, why);
}

char *mm_cache_folder(const char **why)
{
    struct mm_cache_place *place;
    char *path = NULL;

    *why = "not enough memory";
    pthread_mutex_lock(&lock);
    place = look();
    if (place != NULL && place->dir < 0)
        *why = place->why;
    else if (place != NULL)
        path = strdup(place->path);
    pthread_mutex_unlock(&lock);
    return path;
}

uint64_t mm_cache_limit(void)
{
    struct mm_cache_place *place;
    uint64_t limit;

    pthread_mutex_lock(&lock);
    place = look();
    limit = place != NULL ? place->limit : MM_CACHE_LIMIT;
    pthread_mutex_unlock(&lock);
    return limit;
}
