/*
 * Sorting and searching with the image's comparison functions, which use Windows's convention.
 *
 * The sort is a heap sort: in place, no worst case, no stack to speak of, and safe with a
 * comparison function that contradicts itself. Like Windows's qsort it is not stable.
 */
#include <stdlib.h>

#include "loader/win32/crt/internal.h"

typedef int(WINCDECL *compare)(const void *a, const void *b);
typedef int(WINCDECL *compare_context)(void *context, const void *a, const void *b);

struct order { /* either form of comparison */
    compare plain;
    compare_context with_context;
    void *context;
};

static int in_order(const struct order *o, const void *a, const void *b)
{
    return o->plain != NULL ? o->plain(a, b) : o->with_context(o->context, a, b);
}

static void swap(char *a, char *b, size_t size)
{
    char block[64];
    while (size > 0) {
        size_t part = size < sizeof(block) ? size : sizeof(block);
        memcpy(block, a, part);
        memcpy(a, b, part);
        memcpy(b, block, part);
        a += part;
        b += part;
        size -= part;
    }
}

static void sift_down(char *base, size_t root, size_t count, size_t size, const struct order *o)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && in_order(o, base + child * size, base + (child + 1) * size) < 0) {
            child++;
        }
        if (in_order(o, base + root * size, base + child * size) >= 0) {
            return;
        }
        swap(base + root * size, base + child * size, size);
        root = child;
    }
}

static void sort(char *base, size_t count, size_t size, const struct order *o)
{
    for (size_t root = count / 2; root-- > 0;) {
        sift_down(base, root, count, size, o);
    }
    for (size_t last = count; last-- > 1;) {
        swap(base, base + last * size, size);
        sift_down(base, 0, last, size, o);
    }
}

static bool valid(const void *base, size_t count, size_t size, const void *function)
{
    if ((base == NULL && count != 0) || size == 0 || function == NULL) {
        crt_invalid(CRT_EINVAL);
        return false;
    }
    return true;
}

static WINCDECL_DEF void crt_qsort(void *base, size_t count, size_t size, compare function)
{
    struct order o = {.plain = function};
    if (valid(base, count, size, (const void *)function)) {
        sort(base, count, size, &o);
    }
}

static WINCDECL_DEF void crt_qsort_s(void *base, size_t count, size_t size,
                                     compare_context function, void *context)
{
    struct order o = {.with_context = function, .context = context};
    if (valid(base, count, size, (const void *)function)) {
        sort(base, count, size, &o);
    }
}

static void *search(const void *key, const void *base, size_t count, size_t size,
                    const struct order *o)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        const char *item = (const char *)base + middle * size;
        int order = in_order(o, key, item);
        if (order == 0) {
            return (void *)item;
        }
        if (order < 0) {
            count = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

static WINCDECL_DEF void *crt_bsearch(const void *key, const void *base, size_t count, size_t size,
                                      compare function)
{
    struct order o = {.plain = function};
    return valid(base, count, size, (const void *)function) ? search(key, base, count, size, &o)
                                                            : NULL;
}

static WINCDECL_DEF void *crt_bsearch_s(const void *key, const void *base, size_t count,
                                        size_t size, compare_context function, void *context)
{
    struct order o = {.with_context = function, .context = context};
    return valid(base, count, size, (const void *)function) ? search(key, base, count, size, &o)
                                                            : NULL;
}

static void *find(const void *key, const void *base, unsigned count, unsigned size,
                  const struct order *o)
{
    for (unsigned i = 0; i < count; i++) {
        const char *item = (const char *)base + (size_t)i * size;
        if (in_order(o, key, item) == 0) {
            return (void *)item;
        }
    }
    return NULL;
}

static WINCDECL_DEF void *crt__lfind(const void *key, const void *base, unsigned *count,
                                     unsigned size, compare function)
{
    struct order o = {.plain = function};
    return find(key, base, *count, size, &o);
}

static WINCDECL_DEF void *crt__lfind_s(const void *key, const void *base, unsigned *count,
                                       size_t size, compare_context function, void *context)
{
    struct order o = {.with_context = function, .context = context};
    return find(key, base, *count, (unsigned)size, &o);
}

static void *append(const void *key, void *base, unsigned *count, unsigned size)
{
    char *end = (char *)base + (size_t)*count * size;
    memcpy(end, key, size);
    (*count)++;
    return end;
}

static WINCDECL_DEF void *crt__lsearch(const void *key, void *base, unsigned *count, unsigned size,
                                       compare function)
{
    void *found = crt__lfind(key, base, count, size, function);
    return found != NULL ? found : append(key, base, count, size);
}

static WINCDECL_DEF void *crt__lsearch_s(const void *key, void *base, unsigned *count, size_t size,
                                         compare_context function, void *context)
{
    void *found = crt__lfind_s(key, base, count, size, function, context);
    return found != NULL ? found : append(key, base, count, (unsigned)size);
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(qsort),  CRT_FN(qsort_s),  CRT_FN(bsearch),  CRT_FN(bsearch_s),
    CRT_FN(_lfind), CRT_FN(_lfind_s), CRT_FN(_lsearch), CRT_FN(_lsearch_s),
};
CRT_FAMILY(crt_sort_family, functions);
