/*
 * Runs of fixups that one page holds whole (PE specification, .reloc).
 *
 * A million fixups are a matter of memory speed here, so this file reads and writes the bytes of an
 * image by itself. What makes it safe: an entry is type << 12 | offset, and one comparison of the
 * whole entry says that the type is the wanted one and that the field ends inside the page.
 */
#include "reloc/run.h"

#include <endian.h>
#include <string.h>

#include "reloc/types.h"

/* What an entry of the type is at offset 0, and the largest offset whose field fits the page. */
#define FIRST_OF(type)   ((uint16_t)((type) << 12))
#define LAST_FOR(width)  ((uint16_t)(PE_PAGE_SIZE - (width)))
#define ENTRIES_IN(span) ((uint32_t)((span).size / sizeof(uint16_t)))

static uint16_t entry_at(struct pe_span entries, uint32_t i)
{
    uint16_t entry;
    memcpy(&entry, entries.data + i * sizeof entry, sizeof entry);
    return le16toh(entry);
}

static uint32_t count_run(struct pe_span entries, uint16_t first, uint16_t last)
{
    uint32_t i = 0, count = ENTRIES_IN(entries);
    while (i < count && (uint16_t)(entry_at(entries, i) - first) <= last)
        i++;
    return i;
}

/* ---- fields that are changed ---- */

/* With the type and width that the caller names: the loops are made for those. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void add_to(uint8_t *field, uint32_t fields, uint16_t width, uint64_t delta)
{
    for (uint32_t i = 0; i < fields; i++, field += width) {
        uint64_t wide;
        uint32_t narrow;
        if (width == sizeof wide) {
            memcpy(&wide, field, sizeof wide);
            wide = htole64(le64toh(wide) + delta);
            memcpy(field, &wide, sizeof wide);
        } else {
            memcpy(&narrow, field, sizeof narrow);
            narrow = htole32(le32toh(narrow) + (uint32_t)delta);
            memcpy(field, &narrow, sizeof narrow);
        }
    }
}

/* The next ones one by one, at most `most`. */
ALWAYS_INLINE uint32_t add_single(struct pe_span entries, uint32_t i, uint32_t most, uint8_t *page,
                                  uint8_t type, uint16_t width, uint64_t delta)
{
    uint32_t end = ENTRIES_IN(entries) - i < most ? ENTRIES_IN(entries) : i + most;
    for (; i < end; i++) {
        uint16_t offset = (uint16_t)(entry_at(entries, i) - FIRST_OF(type));
        if (offset > LAST_FOR(width))
            break;
        add_to(page + offset, 1, width, delta);
    }
    return i;
}

/*
 * Fields each right behind the one before, as in tables of pointers: rows of as many as one word
 * has entries. (A sum of entries has no carry: the fields are in the page.)
 */
typedef uintptr_t row;
#define ROW      ((uint32_t)(sizeof(row) / sizeof(uint16_t)))
#define EACH     (UINTPTR_MAX / 0xffffu)    /* 1 for each entry */
#define ONE_MORE ((row)0x0003000200010000u) /* for each than for the one before */

static row row_at(struct pe_span entries, uint32_t i)
{
    row entry;
    memcpy(&entry, entries.data + i * sizeof(uint16_t), sizeof entry);
    return sizeof entry == sizeof(uint64_t) ? (row)le64toh(entry) : (row)le32toh(entry);
}

ALWAYS_INLINE uint32_t add_rows(struct pe_span entries, uint32_t i, uint8_t *page, uint8_t type,
                                uint16_t width, uint64_t delta)
{
    row wanted = entry_at(entries, i) * EACH + width * ONE_MORE;
    uint32_t offset = (uint16_t)(entry_at(entries, i) - FIRST_OF(type));
    for (; ENTRIES_IN(entries) - i >= ROW && offset <= LAST_FOR(ROW * width); i += ROW) {
        if (row_at(entries, i) != wanted)
            break;
        add_to(page + offset, ROW, width, delta);
        offset += ROW * width;
        wanted += ROW * width * EACH;
    }
    return i;
}

/* A row is looked for at the first entry, and each time that so many have been done singly: where
 * none is found, twice as many. */
#define SINGLES 8u

ALWAYS_INLINE uint32_t add_run(struct pe_span entries, uint8_t *page, uint8_t type, uint16_t width,
                               uint64_t delta)
{
    /* Else a fixup may change the next entry, and what it does depends on that. */
    bool apart = entries.data + entries.size <= page || entries.data >= page + PE_PAGE_SIZE;
    uint32_t count = ENTRIES_IN(entries), singles = apart ? SINGLES : count, i = 0, before, rows;
    do {
        before = i;
        rows = apart ? add_rows(entries, i, page, type, width, delta) : i;
        singles = rows != before ? SINGLES : singles * 2;
        i = add_single(entries, rows, singles, page, type, width, delta);
    } while (i != count && i == rows + singles);
    return i;
}

uint32_t reloc_run(struct pe_span entries, uint8_t *page, uint64_t delta, uint8_t *type)
{
    if (ENTRIES_IN(entries) == 0)
        return 0;
    *type = (uint8_t)(entry_at(entries, 0) >> 12);
    switch (*type) {
    case RELOC_TYPE_ABSOLUTE:
        return count_run(entries, FIRST_OF(RELOC_TYPE_ABSOLUTE), PE_PAGE_SIZE - 1);
    case RELOC_TYPE_HIGHLOW:
        return page ? add_run(entries, page, RELOC_TYPE_HIGHLOW, 4, delta)
                    : count_run(entries, FIRST_OF(RELOC_TYPE_HIGHLOW), LAST_FOR(4));
    case RELOC_TYPE_DIR64:
        return page ? add_run(entries, page, RELOC_TYPE_DIR64, 8, delta)
                    : count_run(entries, FIRST_OF(RELOC_TYPE_DIR64), LAST_FOR(8));
    default:
        return 0;
    }
}
