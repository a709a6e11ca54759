/*
 * All exports in ordinal order, each name once.
 *
 * The name table is sorted by name, so the names of an entry lie anywhere in it, and without a heap
 * there is no index. The iterator keeps a window instead: the smallest (entry, name index) pairs
 * after the last one given out, gathered in one pass over the name table with a bounded max-heap.
 * N names cost N / PE_EXPORT_WINDOW passes, however they are arranged.
 */
#include "pe/exports.h"
#include "pe/internal.h"

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(uint64_t *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < count && heap[child + 1] > heap[child])
            child++;
        if (child >= count || heap[at] >= heap[child])
            return;
        swap(&heap[at], &heap[child]);
        at = child;
    }
}

static void sift_up(uint64_t *heap, uint32_t at)
{
    for (; at && heap[(at - 1) / 2] < heap[at]; at = (at - 1) / 2)
        swap(&heap[at], &heap[(at - 1) / 2]);
}

static void keep_smallest(struct pe_export_iter *it, uint64_t key)
{
    if (it->count < PE_EXPORT_WINDOW) {
        it->window[it->count] = key;
        sift_up(it->window, it->count++);
    } else if (key < it->window[0]) {
        it->window[0] = key;
        sift_down(it->window, it->count, 0);
    }
}

/* Fills the window with the smallest keys not below it->from, in ascending order. */
static void fill(struct pe_export_iter *it)
{
    const struct pe_exports *e = it->exports;
    uint16_t index;
    it->count = it->next = 0;
    for (uint32_t i = 0; i < e->name_count; i++) {
        if (!pe_rva_u16(e->image, e->name_ordinals_rva + i * 2, &index))
            continue;
        uint64_t key = (uint64_t)index << 32 | i;
        if (key >= it->from)
            keep_smallest(it, key);
    }
    for (uint32_t left = it->count; left > 1; left--) {
        swap(&it->window[0], &it->window[left - 1]);
        sift_down(it->window, left - 1, 0);
    }
    it->last_window = it->count < PE_EXPORT_WINDOW;
}

static bool peek(struct pe_export_iter *it, uint64_t *key)
{
    if (it->next == it->count && !it->last_window)
        fill(it);
    if (it->next == it->count)
        return false;
    *key = it->window[it->next];
    return true;
}

bool pe_export_next(struct pe_export_iter *it, struct pe_export *out)
{
    uint64_t key;
    while (it->index < it->exports->function_count) {
        if (peek(it, &key) && key >> 32 <= it->index) {
            it->next++;
            it->from = key + 1;
            if (key >> 32 == it->index &&
                pe_export_by_name_index(it->exports, (uint32_t)key, out)) {
                it->named = true;
                return true;
            }
            continue; /* an unreadable name or a hole */
        }
        bool unnamed = !it->named && pe_export_unnamed(it->exports, it->index, out);
        it->index++;
        it->named = false;
        if (unnamed)
            return true;
    }
    return false;
}
