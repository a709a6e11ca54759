/*
 * A load in progress: a transaction over the module graph.
 *
 * Modules that it brings in are staged: they are in the module list, as on Windows, and kept alive
 * by `pending`, but nothing refers to them yet. A failure takes back the edges that older modules
 * got and lets go of the staged ones; the collector does the rest (collect.c).
 */
#ifndef LDR_LOAD_H
#define LDR_LOAD_H

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/module.h"
#include "loader/ldr/report.h"
#include "pe/exports.h"

struct ldr_edge {
    struct ldr_module *from, *to;
};

struct ldr_load {
    uint32_t flags;        /* search flags, which hold for the dependencies as well */
    bool is_static;        /* the EXE and what it needs */
    const char *directory; /* of the module that was asked for; NULL = none */
    struct ldr_module **staged;
    uint32_t staged_count, staged_capacity;
    struct ldr_edge *edges; /* from modules that are not staged here */
    uint32_t edge_count, edge_capacity;
    struct ldr_report report;
    uint32_t depth;
    uint32_t forward_work; /* what following forwarders has cost so far (symbol.c) */
};

/* Ends a load: keeps (true) or undoes (false) it, and frees what the record holds. */
void ldr_load_end(struct ldr_load *load, bool keep);
/* Puts a mapped module into the graph: list, TLS, imports. It is staged even when this fails. */
nt_status ldr_load_stage(struct ldr_load *load, struct ldr_module *module, struct pe_error *err);
/* Seals the staged views: after all imports have been written, before any code runs. */
nt_status ldr_load_seal(struct ldr_load *load, struct pe_error *err);
/* Finds or loads what `importer` asks for by name and records that it needs it. */
nt_status ldr_load_dependency(struct ldr_load *load, struct ldr_module *importer, const char *name,
                              struct ldr_module **out, struct pe_error *err);

/* Resolves the imports of a staged module. Missing ones go to the report; a negative status is for
 * what cannot be reported per import (a malformed directory, no memory). snap.c */
nt_status ldr_snap(struct ldr_load *load, struct ldr_module *module, struct pe_error *err);

/* An export that somebody asks for. */
struct ldr_want {
    struct pe_str name; /* ptr NULL = by ordinal */
    uint16_t ordinal;
    uint32_t hint; /* LDR_NO_HINT = none */
};
#define LDR_NO_HINT 0xffffffffu
/* A module whose exports are looked up, one or many at a time (pe/exports.h: not for long). */
struct ldr_exporter {
    struct ldr_module *module;
    uint64_t base, mask; /* an address is (base + RVA) & mask */
    bool has_exports;
    struct pe_exports exports;
    struct pe_name_walk *walk; /* of who looks up many names; NULL = one or two */
};
void ldr_exporter_open(struct ldr_module *module, struct ldr_exporter *out);
/*
 * Finds an export, following forwarders and loading their modules into `load` (NULL = forwarders
 * are refused). `*forwarded`: whether one was met. symbol.c
 */
nt_status ldr_bind(struct ldr_load *load, const struct ldr_exporter *exporter,
                   const struct ldr_want *want, uint64_t *address, bool *forwarded,
                   struct pe_error *err);

/* Runs the entry points of a module and, before, of what it needs (init.c). */
nt_status ldr_initialize(struct ldr_module *module, struct pe_error *err);
/* DLL_PROCESS_DETACH to one module that is ready. */
void ldr_detach(struct ldr_module *module, bool process_exit);

#endif
