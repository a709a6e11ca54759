/*
 * Doubly-linked circular lists: the loader's own records and the LIST_ENTRY chains of PEB_LDR_DATA.
 *
 * The layout is Windows's LIST_ENTRY (Flink, Blink), so that one implementation serves both. The
 * loader never follows the chains that images can see: images unlink themselves from those.
 */
#ifndef LDR_LIST_H
#define LDR_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct ldr_link {
    struct ldr_link *next, *prev;
};

#define LDR_CONTAINER(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

static inline void ldr_link_init(struct ldr_link *link)
{
    link->next = link->prev = link;
}

/* True for an unlinked link and for the head of an empty list. */
static inline bool ldr_link_alone(const struct ldr_link *link)
{
    return link->next == link;
}

/* Inserts behind `where`: where = the head for the front, head->prev for the end. */
static inline void ldr_link_insert(struct ldr_link *where, struct ldr_link *link)
{
    link->next = where->next;
    link->prev = where;
    where->next->prev = link;
    where->next = link;
}

/* Unlinks and leaves the link alone; harmless when it is alone already. */
static inline void ldr_link_remove(struct ldr_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    ldr_link_init(link);
}

#endif
