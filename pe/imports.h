/*
 * Import, bound-import and delay-import directories (PE specification, .idata; facts 3.4, 3.6).
 *
 * Iterators return 1 with an element, 0 at the end, a negative value for data that Windows could
 * not follow either; the status is then in the iterator.
 */
#ifndef PE_IMPORTS_H
#define PE_IMPORTS_H

#include "pe/window.h"

struct pe_import_module {
    uint32_t descriptor_rva;
    struct pe_str name;                        /* the DLL's name as the file spells it */
    uint32_t time_date_stamp, forwarder_chain; /* stamp != 0: bound */
    uint32_t lookup_rva;                       /* OriginalFirstThunk; FirstThunk where that is 0 */
    uint32_t iat_rva;                          /* FirstThunk */
    bool empty; /* nothing is imported: not to be loaded, and the name may be unreadable ("") */
    /* Delay imports only */
    bool delay;
    bool delay_va_form; /* Attributes bit 0 clear: the fields were VAs and have been converted */
    uint32_t module_handle_rva, unload_iat_rva, bound_iat_rva;
};

struct pe_import_module_iter {
    const struct pe_image *image;
    bool delay;
    uint32_t rva;  /* next descriptor */
    uint32_t end;  /* descriptors may not begin at or after this */
    uint32_t left; /* cap */
    nt_status status;
};
/* False when the directory is absent: iterate over nothing. */
bool pe_import_modules(const struct pe_image *image, struct pe_import_module_iter *it);
bool pe_delay_import_modules(const struct pe_image *image, struct pe_import_module_iter *it);
int pe_import_module_next(struct pe_import_module_iter *it, struct pe_import_module *out);

struct pe_import {
    uint32_t thunk_rva; /* IAT slot to fill */
    bool by_ordinal;
    uint16_t ordinal;
    uint16_t hint;
    struct pe_str name; /* empty when by ordinal */
};

struct pe_import_iter {
    const struct pe_image *image;
    uint32_t lookup_rva, iat_rva;
    bool va_form;
    uint32_t limit; /* of the image's addresses */
    uint32_t left;  /* cap */
    nt_status status;
    struct pe_window lookup, names; /* the iterator's own */
};
void pe_imports(const struct pe_image *image, const struct pe_import_module *module,
                struct pe_import_iter *it);
int pe_import_next(struct pe_import_iter *it, struct pe_import *out);
/* How many imports are to come, as far as that can be seen from here: all of them in most images.
 */
uint32_t pe_imports_ahead(struct pe_import_iter *it);

/* New-style bound imports (directory 11): IMAGE_BOUND_IMPORT_DESCRIPTOR and its forwarder refs. */
struct pe_bound_import {
    struct pe_str name;
    uint32_t time_date_stamp;
    bool forwarder_ref;
};
struct pe_bound_import_iter {
    const struct pe_image *image;
    struct pe_directory dir;
    uint32_t off;
    uint16_t refs_left;
};
bool pe_bound_imports(const struct pe_image *image, struct pe_bound_import_iter *it);
int pe_bound_import_next(struct pe_bound_import_iter *it, struct pe_bound_import *out);

#endif
