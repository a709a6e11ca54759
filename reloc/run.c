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

static uint32_t add_to_dir64(struct pe_span entries, uint8_t *page, uint64_t delta)
{
    uint32_t i = 0, count = ENTRIES_IN(entries);
    for (; i < count; i++) {
        uint16_t offset = (uint16_t)(entry_at(entries, i) - FIRST_OF(RELOC_TYPE_DIR64));
        uint64_t value;
        if (offset > LAST_FOR(sizeof value))
            break;
        memcpy(&value, page + offset, sizeof value);
        value = htole64(le64toh(value) + delta);
        memcpy(page + offset, &value, sizeof value);
    }
    return i;
}

static uint32_t add_to_highlow(struct pe_span entries, uint8_t *page, uint32_t delta)
{
    uint32_t i = 0, count = ENTRIES_IN(entries);
    for (; i < count; i++) {
        uint16_t offset = (uint16_t)(entry_at(entries, i) - FIRST_OF(RELOC_TYPE_HIGHLOW));
        uint32_t value;
        if (offset > LAST_FOR(sizeof value))
            break;
        memcpy(&value, page + offset, sizeof value);
        value = htole32(le32toh(value) + delta);
        memcpy(page + offset, &value, sizeof value);
    }
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
        return page ? add_to_highlow(entries, page, (uint32_t)delta)
                    : count_run(entries, FIRST_OF(RELOC_TYPE_HIGHLOW), LAST_FOR(4));
    case RELOC_TYPE_DIR64:
        return page ? add_to_dir64(entries, page, delta)
                    : count_run(entries, FIRST_OF(RELOC_TYPE_DIR64), LAST_FOR(8));
    default:
        return 0;
    }
}
