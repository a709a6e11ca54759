/*
 * Pages that are written between nearly all resets (snapshot_object.h).
 *
 * Dropping a copy costs a fault, a fresh page and a copy of it when the page is written again. A
 * page that was found written twice is kept, therefore, and what it is to hold is copied into it;
 * one that has not been written for a while is dropped like any other.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/snapshot_object.h"

/* In all ranges together: 16 MiB of content. */
#define MOST_PAGES 4096u
/* Resets at which a page was as it is to be, before it is dropped. */
#define PATIENCE 64u

/* What a page's entry says of it. */
enum { COLD, WRITTEN_ONCE, FIRST_SLOT };

struct slot {
    void *content; /* malloc'ed; NULL = free */
    uint32_t idle; /* resets since it was written */
    uint32_t next; /* of a free one: its successor + 1 */
};

struct mm_heat {
    uint32_t *entry; /* of each page; from FIRST_SLOT on: its slot */
    struct slot *slots;
    uint32_t count, room, free; /* `free`: the first free one + 1 */
};

static uint32_t page_count; /* of all ranges */

static bool make(struct mm_kept *kept)
{
    struct mm_heat *heat = calloc(1, sizeof(*heat));

    if (heat == NULL)
        return false;
    heat->entry = calloc((size_t)(kept->size / MM_PAGE), sizeof(*heat->entry));
    if (heat->entry == NULL) {
        free(heat);
        return false;
    }
    kept->heat = heat;
    return true;
}

void mm_heat_free(struct mm_kept *kept)
{
    struct mm_heat *heat = kept->heat;

    if (heat == NULL)
        return;
    for (uint32_t i = 0; i < heat->count; i++) {
        page_count -= heat->slots[i].content != NULL;
        free(heat->slots[i].content);
    }
    free(heat->slots);
    free(heat->entry);
    free(heat);
    kept->heat = NULL;
}

static struct slot *slot_of(const struct mm_kept *kept, uint64_t page)
{
    const struct mm_heat *heat = kept->heat;
    uint32_t entry = heat != NULL ? heat->entry[page] : COLD;

    return entry >= FIRST_SLOT ? &heat->slots[entry - FIRST_SLOT] : NULL;
}

/* Room for one slot more. */
static bool grow(struct mm_heat *heat)
{
    uint32_t room = heat->room ? 2 * heat->room : 16;
    struct slot *grown;

    if (heat->count < heat->room)
        return true;
    grown = realloc(heat->slots, room * sizeof(*grown));
    if (grown == NULL)
        return false;
    heat->slots = grown;
    heat->room = room;
    return true;
}

/* Keeps what the page holds now. */
static void heat_up(struct mm_heat *heat, uint64_t page, uint64_t at)
{
    void *content = page_count < MOST_PAGES ? malloc((size_t)MM_PAGE) : NULL;
    uint32_t index = heat->free != 0 ? heat->free - 1 : heat->count;

    if (content == NULL || (heat->free == 0 && !grow(heat))) {
        free(content);
        return;
    }
    if (heat->free != 0)
        heat->free = heat->slots[index].next;
    else
        heat->count++;
    memcpy(content, mm_ptr(at), (size_t)MM_PAGE);
    heat->slots[index] = (struct slot){.content = content};
    heat->entry[page] = FIRST_SLOT + index;
    page_count++;
}

static void cool_down(struct mm_heat *heat, uint64_t page)
{
    uint32_t index = heat->entry[page] - FIRST_SLOT;

    free(heat->slots[index].content);
    heat->slots[index] = (struct slot){.next = heat->free};
    heat->free = index + 1;
    heat->entry[page] = COLD;
    page_count--;
}

bool mm_heat_restore(struct mm_kept *kept, uint64_t page)
{
    void *at = mm_ptr(kept->base + page * MM_PAGE);
    struct slot *slot = slot_of(kept, page);

    if (slot == NULL)
        return false;
    if (memcmp(at, slot->content, (size_t)MM_PAGE) != 0) {
        memcpy(at, slot->content, (size_t)MM_PAGE);
        slot->idle = 0;
        return true;
    }
    if (++slot->idle < PATIENCE)
        return true;
    cool_down(kept->heat, page);
    return false;
}

void mm_heat_note(struct mm_kept *kept, uint64_t page)
{
    if (kept->heat == NULL && !make(kept))
        return;
    if (kept->heat->entry[page] == COLD)
        kept->heat->entry[page] = WRITTEN_ONCE;
    else if (kept->heat->entry[page] == WRITTEN_ONCE)
        heat_up(kept->heat, page, kept->base + page * MM_PAGE);
}

bool mm_kept_unchanged(const struct mm_kept *kept, uint64_t page)
{
    const struct slot *slot = kept != NULL ? slot_of(kept, page) : NULL;

    return slot != NULL && (mm_attr_prot(kept->range->attr[page]) & PROT_READ) &&
           memcmp(mm_ptr(kept->base + page * MM_PAGE), slot->content, (size_t)MM_PAGE) == 0;
}
