/*
 * From a file, bytes or a builtin to a mapped and relocated module record.
 */
#ifndef LDR_MAP_H
#define LDR_MAP_H

#include <sys/stat.h>

#include "loader/ldr/module.h"

/* What to map: exactly one of `fd` >= 0, `bytes`, `builtin`. */
struct ldr_source {
    const char *name; /* base name or path: what errors and the record call it */
    const char *path; /* host path of a file */
    int fd;
    struct stat st; /* of the file */
    const void *bytes;
    uint64_t size;
    const struct ldr_builtin *builtin;
};

enum ldr_map_flags {
    LDR_MAP_ANY_MACHINE = 0x1,
    LDR_MAP_DATA_OF_ANY_MACHINE =
        0x2,                   /* a code-free image of another machine: a dependency's data */
    LDR_MAP_UNRELOCATED = 0x4, /* for its resources only */
    LDR_MAP_PROGRAM = 0x8,     /* the rules for programs are asked, not those for DLLs */
};

/*
 * Maps an image; its view is left open. The record is in no list. `base` 0 = the preferred one.
 * Like ldr_map_data() it takes the descriptor of `source` when it succeeds (-1 is left): as long as
 * the module is there, other processes see that the file is mapped.
 */
nt_status ldr_map_image(struct ldr_source *source, enum ldr_kind kind, uint32_t flags,
                        uint64_t base, struct ldr_module **out, struct pe_error *err);
/*
 * Applies the fixups of an open view, as if it lay at `base`, and follows e_lfanew where they
 * change it. `owns_shared`: this process made the content of the SHARED PE sections.
 */
nt_status ldr_relocate(struct mm_view *view, uint64_t base, bool owns_shared,
                       struct reloc_plan *plan, struct pe_error *err);
/* Maps the bytes flat, as LOAD_LIBRARY_AS_DATAFILE does: the two signatures are all that is
 * checked. `exclusive`: nobody may write the file meanwhile. */
nt_status ldr_map_data(struct ldr_source *source, bool exclusive, struct ldr_module **out,
                       struct pe_error *err);

#endif
