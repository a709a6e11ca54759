/*
 * From what a caller asks for to a source that can be mapped, or to a module that is loaded
 * already.
 */
#ifndef LDR_LOCATE_H
#define LDR_LOCATE_H

#include "loader/ldr/map.h"

struct ldr_located {
    struct ldr_module *loaded; /* it is in the module list already: nothing to map */
    struct ldr_source source;  /* else */
    char *path;                /* owned, what source.path points to */
    char *directory;           /* owned; of the file when it was asked for by path, else NULL */
};

/*
 * Looks among the loaded modules, then searches (ldr_resolve), and opens the file. `importer_dir`
 * and `machine` are for the search: 0 for the module that was asked for, else the importers'
 * machine, whose files are preferred. Private loads (LDR_MAP_ONLY) do not look among the loaded
 * modules.
 */
nt_status ldr_locate(const struct ldr_load_options *options, const char *importer_dir,
                     uint16_t machine, struct ldr_located *out, struct pe_error *err);
void ldr_located_free(struct ldr_located *located);

/* The directory part of an absolute path, malloc'ed; NULL for a path without one (a module that
 * came from memory) or when memory ran out. */
char *ldr_directory_of(const char *path);

#endif
