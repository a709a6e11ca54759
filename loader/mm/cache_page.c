/*
 * Names of cache entries, and their last page, which says what they were made of (cache_store.h).
 *
 * SHA-256 makes the names: keys hold times and numbers that a file's owner can choose. libmd has it
 * and is linked for the names of named objects anyway.
 */
#include <inttypes.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>

#include "loader/mm/cache_store.h"

/* Changes with the layout of the page; the names change with it. */
static const char magic[16] = "peldr image 1\n";

struct head {
    char magic[sizeof(magic)];
    struct mm_cache_key key;
    uint64_t image_size;
    uint32_t note_size;
    uint32_t path_size; /* with its end, a zero byte; behind the note */
    uint32_t path_cut;
    uint32_t zero;
    uint64_t sum; /* of all that stands before it, and of note and path */
};
_Static_assert(sizeof(struct mm_cache_key) == 96, "digested: no padding in either word size");
_Static_assert(sizeof(struct head) == 144, "both word sizes read it");
_Static_assert(sizeof(struct head) + MM_CACHE_NOTE < PE_PAGE_SIZE, "room for a path");

/* An image is mapped with 32-bit RVAs; what has more pages was not written by us. */
#define MAX_IMAGE ((uint64_t)1 << 32)

/* ---- digests and sums ------------------------------------------------------------------------ */

static void make_digest(const struct mm_cache_key *key, uint8_t digest[MM_CACHE_DIGEST])
{
    uint8_t whole[SHA256_DIGEST_LENGTH];
    SHA2_CTX context;

    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *)magic, sizeof(magic));
    SHA256Update(&context, (const uint8_t *)key, sizeof(*key));
    SHA256Final(whole, &context);
    memcpy(digest, whole, MM_CACHE_DIGEST);
}

static uint64_t add_word(uint64_t sum, const uint8_t *bytes, size_t size)
{
    uint64_t word = 0;

    memcpy(&word, bytes, size);
    sum = (sum ^ word) * 0xff51afd7ed558ccdull;
    return sum ^ sum >> 32;
}

/* Multiply and fold, a word at a time: any single change of a word changes the result. */
uint64_t mm_cache_sum(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint64_t sum = 0x9e3779b97f4a7c15ull ^ size;

    for (; size >= sizeof(uint64_t); p += sizeof(uint64_t), size -= sizeof(uint64_t))
        sum = add_word(sum, p, sizeof(uint64_t));
    return size != 0 ? add_word(sum, p, size) : sum;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

void mm_cache_name(const struct mm_cache_key *key, uint8_t digest[MM_CACHE_DIGEST],
                   char name[MM_CACHE_NAME])
{
    char *end = name;

    make_digest(key, digest);
    for (uint32_t i = 0; i < MM_CACHE_DIGEST; i++) {
        *end++ = "0123456789abcdef"[digest[i] >> 4];
        *end++ = "0123456789abcdef"[digest[i] & 15];
    }
    if (key->base != 0)
        end += snprintf(end, MM_CACHE_NAME - 2 * MM_CACHE_DIGEST, "-%" PRIx64, key->base);
    *end++ = '.';
    for (uint32_t i = 0; i < MM_CACHE_IMAGE_NAME && key->name[i] != '\0'; i++)
        if (is_plain(key->name[i]))
            *end++ = key->name[i];
    *end = '\0';
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mm_cache_name_digest(const char *name, uint8_t digest[MM_CACHE_DIGEST])
{
    size_t rest;

    for (uint32_t i = 0; i < MM_CACHE_DIGEST; i++, name += 2) {
        int high = hex_digit(name[0]), low = high < 0 ? -1 : hex_digit(name[1]);

        if (low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    if (*name == '-') {
        rest = strspn(name + 1, "0123456789abcdef");
        if (rest < 1 || rest > 16)
            return false;
        name += 1 + rest;
    }
    if (*name != '.')
        return false;
    for (rest = 1; is_plain(name[rest]) && rest <= MM_CACHE_IMAGE_NAME; rest++)
        continue;
    return name[rest] == '\0';
}

/* ---- the page -------------------------------------------------------------------------------- */

static uint64_t sum_of(const uint8_t bytes[MM_PAGE], size_t size)
{
    const uint64_t parts[] = {mm_cache_sum(bytes, offsetof(struct head, sum)),
                              mm_cache_sum(bytes + sizeof(struct head), size)};

    return mm_cache_sum(parts, sizeof(parts));
}

void mm_cache_page_write(uint8_t bytes[MM_PAGE], const struct mm_cache_key *key,
                         uint64_t image_size, const void *note, uint32_t note_size,
                         const char *path)
{
    size_t room = MM_PAGE - sizeof(struct head) - note_size, length = strlen(path);
    struct head head = {.key = *key, .image_size = image_size, .note_size = note_size};

    head.path_cut = length >= room;
    if (head.path_cut)
        length = room - 1;
    head.path_size = (uint32_t)length + 1;
    memcpy(head.magic, magic, sizeof(magic));
    memset(bytes, 0, MM_PAGE);
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), note, note_size);
    memcpy(bytes + sizeof(head) + note_size, path, length);
    head.sum = sum_of(bytes, note_size + head.path_size);
    memcpy(bytes, &head, sizeof(head));
}

bool mm_cache_page_read(const uint8_t bytes[MM_PAGE], struct mm_cache_page *out)
{
    const uint8_t *path;
    struct head head;

    memcpy(&head, bytes, sizeof(head));
    if (memcmp(head.magic, magic, sizeof(magic)) != 0 || head.note_size > MM_CACHE_NOTE ||
        head.path_size == 0 || head.path_size > MM_PAGE - sizeof(head) - head.note_size ||
        head.image_size == 0 || head.image_size > MAX_IMAGE || head.image_size % MM_PAGE != 0 ||
        head.path_cut > 1)
        return false;
    path = bytes + sizeof(head) + head.note_size;
    if (memchr(path, '\0', head.path_size) != path + head.path_size - 1 ||
        head.sum != sum_of(bytes, head.note_size + head.path_size))
        return false;
    *out = (struct mm_cache_page){
        .key = head.key,
        .image_size = head.image_size,
        .note = bytes + sizeof(head),
        .note_size = head.note_size,
        .path = (const char *)path,
        .path_cut = head.path_cut != 0,
    };
    return true;
}
