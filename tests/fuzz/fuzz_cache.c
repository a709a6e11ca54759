/*
 * Fuzz target: the files of the image cache, which anything may have written. An input changes a
 * good last page of an entry, and is a set of the index and a file name as it stands. What is
 * accepted lies within its bytes, and says the same when it is written again.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/mm/cache_store.h"
#include "tests/fuzz/fuzz.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Where the fields of a page lie (loader/mm/cache_page.c). */
#define IMAGE_SIZE_AT (16u + (uint32_t)sizeof(struct mm_cache_key))
#define SIZES_AT      (IMAGE_SIZE_AT + 8u)
#define SUM_AT        (SIZES_AT + 16u)
#define HEAD_SIZE     (SUM_AT + 8u)

/* So that what is behind the sum is reached, most changed pages have a right one. */
static void set_sum(uint8_t bytes[MM_PAGE])
{
    uint32_t sizes[2]; /* of the note, of the path */
    uint64_t parts[2], sum;

    memcpy(sizes, bytes + SIZES_AT, sizeof(sizes));
    if ((uint64_t)sizes[0] + sizes[1] > MM_PAGE - HEAD_SIZE)
        return;
    parts[0] = mm_cache_sum(bytes, SUM_AT);
    parts[1] = mm_cache_sum(bytes + HEAD_SIZE, sizes[0] + sizes[1]);
    sum = mm_cache_sum(parts, sizeof(parts));
    memcpy(bytes + SUM_AT, &sum, sizeof(sum));
}

/* In a block of its own. The first bytes say how large the note is; four bytes are a change, most
 * often of the fields that say where things lie. */
static uint8_t *changed_page(const uint8_t *data, size_t size)
{
    static const uint8_t note[MM_CACHE_NOTE];
    const struct mm_cache_key key = {.dev = 1, .ino = 2, .size = 3};
    uint8_t *bytes = malloc(MM_PAGE);

    must(bytes != NULL);
    mm_cache_page_write(bytes, &key, MM_PAGE, note,
                        size > 1 ? (data[0] | (uint32_t)data[1] << 8) % (MM_CACHE_NOTE + 1) : 0,
                        "/a/path/of/an/image.dll");
    for (size_t i = 4; i + 4 <= size && i < 40; i += 4) {
        uint32_t at = data[i] % 4 != 0 ? IMAGE_SIZE_AT + data[i + 1] % 24u
                                       : (data[i + 1] | (uint32_t)data[i + 2] << 8) % MM_PAGE;

        bytes[at] = data[i + 3];
    }
    if (size < 8 || data[2] % 8 != 0)
        set_sum(bytes);
    return bytes;
}

static void fuzz_page(const uint8_t *data, size_t size)
{
    uint8_t *bytes = changed_page(data, size), again[MM_PAGE], digest[MM_CACHE_DIGEST];
    struct mm_cache_page page, other;
    char name[MM_CACHE_NAME];

    must(size >= 8 || mm_cache_page_read(bytes, &page)); /* nothing is changed */
    if (mm_cache_page_read(bytes, &page)) {
        must(page.note >= bytes && page.note_size <= MM_CACHE_NOTE &&
             page.note + page.note_size <= bytes + MM_PAGE);
        must((const uint8_t *)page.path + strlen(page.path) < bytes + MM_PAGE);
        must(page.image_size != 0 && page.image_size % MM_PAGE == 0);
        mm_cache_page_write(again, &page.key, page.image_size, page.note, page.note_size,
                            page.path);
        must(mm_cache_page_read(again, &other));
        must(other.image_size == page.image_size && other.note_size == page.note_size &&
             memcmp(&other.key, &page.key, sizeof(page.key)) == 0 &&
             memcmp(other.note, page.note, page.note_size) == 0 &&
             strcmp(other.path, page.path) == 0);
        mm_cache_name(&page.key, digest, name);
        must(mm_cache_name_digest(name, digest));
    }
    free(bytes);
}

static void fuzz_set(const uint8_t *data, size_t size)
{
    struct mm_cache_set *set = malloc(sizeof(*set));
    struct mm_cache_record record = {.boot = 1};

    must(set != NULL);
    memset(set, 0, sizeof(*set));
    memcpy(set, data, size < sizeof(*set) ? size : sizeof(*set));
    for (uint32_t i = 0; i < MM_CACHE_WAYS; i++) {
        struct mm_cache_record *way = &set->ways[i];
        int found;

        if (way->trusted % 2 != 0) /* a good one */
            way->sum = mm_cache_sum(way, offsetof(struct mm_cache_record, sum));
        found = mm_cache_set_find(set, way->digest);
        must(found < (int)MM_CACHE_WAYS);
        must(found < 0 || memcmp(set->ways[found].digest, way->digest, MM_CACHE_DIGEST) == 0);
        must(way->trusted % 2 == 0 || found >= 0);
    }
    must(mm_cache_set_choose(set, &record) < MM_CACHE_WAYS);
    free(set);
}

static void fuzz_name(const uint8_t *data, size_t size)
{
    uint8_t digest[MM_CACHE_DIGEST];
    char *name = malloc(size + 1);

    must(name != NULL);
    memcpy(name, data, size);
    name[size] = '\0';
    if (mm_cache_name_digest(name, digest))
        must(strlen(name) < MM_CACHE_NAME);
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_page(data, size);
    fuzz_set(data, size);
    fuzz_name(data, size);
    return 0;
}
