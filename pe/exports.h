/*
 * The export directory: names, ordinals, holes, forwarders (PE specification, .edata; facts 3.5).
 */
#ifndef PE_EXPORTS_H
#define PE_EXPORTS_H

#include "pe/image.h"

/* Entries and names looked at: four names for each of the 65536 entries that a name can refer to.
 */
#define PE_MAX_EXPORTS 0x40000u

/*
 * An opened export directory. It is good for as long as no page of the image loses the right to be
 * read, so it lives no longer than what it was opened for.
 */
struct pe_exports {
    const struct pe_image *image;
    struct pe_directory dir;
    uint32_t characteristics, time_date_stamp;
    struct pe_str module_name; /* empty when absent or unreadable */
    uint32_t ordinal_base;
    uint32_t function_count; /* NumberOfFunctions, cut to what fits the image */
    uint32_t name_count;     /* NumberOfNames, cut likewise */
    uint32_t functions_rva, names_rva, name_ordinals_rva;
    /* What of the tables, and of the directory's own range, can be read in one piece. */
    struct pe_run functions, names, name_ordinals, texts;
};

struct pe_export {
    uint32_t index;     /* into the address table */
    uint32_t ordinal;   /* index + ordinal base (mod 2^32) */
    uint32_t rva;       /* address = base + rva mod 2^32; no check that it is inside the image */
    struct pe_str name; /* ptr NULL when exported by ordinal only */
    uint32_t hint;      /* index into the name table when named */
    struct pe_str forwarder; /* ptr NULL unless the RVA lies inside the export directory */
};

/* False when the image has no readable export directory. */
bool pe_exports_open(const struct pe_image *image, struct pe_exports *out);
/* Address-table entry `index` with the first name that refers to it; false for a hole or beyond. */
bool pe_export_by_index(const struct pe_exports *exports, uint32_t index, struct pe_export *out);
/* The same without looking for a name, which is a search through the whole name table. */
bool pe_export_unnamed(const struct pe_exports *exports, uint32_t index, struct pe_export *out);
/* By ordinal, without a name likewise. */
bool pe_export_by_ordinal(const struct pe_exports *exports, uint32_t ordinal,
                          struct pe_export *out);
/* The i-th name-table entry (duplicates appear); false beyond, or when it refers to a hole. */
bool pe_export_by_name_index(const struct pe_exports *exports, uint32_t i, struct pe_export *out);
/* The hint first, then a binary search of the sorted names, case-sensitive, as Windows does. The
 * name in `out` is the caller's. */
bool pe_export_by_name(const struct pe_exports *exports, struct pe_str name, uint32_t hint,
                       struct pe_export *out);
/*
 * The same for who looks up many names one after the other, while the image stays as it is: when
 * hints are wrong and names are many, it pays to find out whether the table's names rise, and then
 * to go on from the last one. Most linkers ask in the order of the names.
 */
struct pe_name_walk { /* start from {.expected = how many names} */
    uint32_t expected, misses, next, strays;
    enum { PE_NAMES_UNKNOWN, PE_NAMES_RISE, PE_NAMES_UNORDERED } order;
};
bool pe_export_by_name_in_walk(const struct pe_exports *exports, struct pe_name_walk *walk,
                               struct pe_str name, uint32_t hint, struct pe_export *out);
/* Splits "Mod.Name" / "Mod.#12" at the last dot. False when malformed. `ordinal` is valid if
 * !name->ptr. */
bool pe_forwarder_split(struct pe_str forwarder, struct pe_str *module, struct pe_str *name,
                        uint16_t *ordinal);

/*
 * Iterates over all exports in ordinal order, each name of an entry once (an entry without a name
 * once). `next`: true while there is one. Start from {0} with `exports` set; the rest is the
 * iterator's own (4 KiB: see export_iter.c).
 */
#define PE_EXPORT_WINDOW 512
struct pe_export_iter {
    const struct pe_exports *exports;
    uint32_t index;
    bool named, last_window;
    uint32_t next, count;
    uint64_t from; /* keys below it were given out */
    uint64_t window[PE_EXPORT_WINDOW];
};
bool pe_export_next(struct pe_export_iter *it, struct pe_export *out);

#endif
