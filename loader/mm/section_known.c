/*
 * Sections that stay open after their last use (Windows Internals: the list of unused segments).
 *
 * A file that is loaded again has its section at once, without looking into the cache. Only
 * sections of cache entries are kept: they cost two descriptors and no memory. An entry that was
 * written to or removed meanwhile is not used any more.
 */
#include <string.h>

#include "loader/mm/section_object.h"

#define KNOWN_COUNT 16u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mm_section *known[KNOWN_COUNT]; /* the last used first */

/* Lock held: the section at `at` leaves the list, which closes up. */
static struct mm_section *take_out(uint32_t at)
{
    struct mm_section *section = known[at];

    memmove(&known[at], &known[at + 1], (KNOWN_COUNT - at - 1) * sizeof(*known));
    known[KNOWN_COUNT - 1] = NULL;
    return section;
}

/* Lock held; the last one must be free. */
static void put_first(struct mm_section *section)
{
    memmove(&known[1], &known[0], (KNOWN_COUNT - 1) * sizeof(*known));
    known[0] = section;
}

/* Lock held: the place of the section that a file of this name and state has; KNOWN_COUNT = none.
 */
static uint32_t place_of(const struct mm_cache_key *key, const char *name)
{
    uint32_t at = 0;

    while (at < KNOWN_COUNT && known[at] != NULL &&
           (memcmp(&known[at]->cache_key, key, sizeof(*key)) != 0 ||
            strcmp(known[at]->name, name) != 0))
        at++;
    return at < KNOWN_COUNT && known[at] != NULL ? at : KNOWN_COUNT;
}

struct mm_section *mm_known_take(const struct mm_cache_key *key, const char *name)
{
    struct mm_section *found = NULL;
    uint32_t at;

    pthread_mutex_lock(&lock);
    at = place_of(key, name);
    if (at < KNOWN_COUNT)
        found = take_out(at);
    pthread_mutex_unlock(&lock);
    if (found == NULL)
        return NULL;
    mm_section_ref(found);
    if (found->later != NULL || mm_cache_still_trusted(&found->entry))
        return found;
    found->reusable = false;
    mm_section_unref(found);
    return NULL;
}

struct mm_section *mm_known_put(struct mm_section *section)
{
    struct mm_section *superfluous = section;

    pthread_mutex_lock(&lock);
    /* Several of one file are there when it was loaded several times at once: one is enough. */
    if (place_of(&section->cache_key, section->name) == KNOWN_COUNT) {
        superfluous = take_out(KNOWN_COUNT - 1);
        put_first(section);
    }
    pthread_mutex_unlock(&lock);
    return superfluous;
}

void mm_section_forget_known(void)
{
    struct mm_section *all[KNOWN_COUNT];

    pthread_mutex_lock(&lock);
    memcpy(all, known, sizeof(all));
    memset(known, 0, sizeof(known));
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 0; i < KNOWN_COUNT && all[i] != NULL; i++) {
        all[i]->reusable = false;
        mm_section_unref(mm_section_ref(all[i]));
    }
}
