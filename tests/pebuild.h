/*
 * A small builder of PE images for tests, PE32 and PE32+, well formed unless the test spoils them.
 *
 *     struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
 *     uint32_t text = pebuild_section(b, ".text", PEBUILD_TEXT, code, sizeof(code), 0);
 *     pebuild_fixup(b, b->sections[text].virtual_address + 1, 3);
 *     pebuild_exports(b, "a.dll", 1, exports, 2);
 *     pebuild_relocs(b);
 *     uint8_t *bytes = pebuild_finish(b, &size);    // malloc'ed, exactly `size` bytes; frees b
 *
 * Headers and sections are plain fields: change them at any time before pebuild_finish(), which
 * writes what they say and derives nothing. Alignments, SizeOfHeaders and e_lfanew are to be
 * changed before the first section is added, because they decide where it goes. With a
 * SectionAlignment below 0x1000 sections are laid out flat (PointerToRawData == VirtualAddress). A
 * failing allocation or a full table aborts the test.
 */
#ifndef TESTS_PEBUILD_H
#define TESTS_PEBUILD_H

#include "pe/image.h"

#define PEBUILD_MAX_SECTIONS 256
#define PEBUILD_MAX_FIXUPS   4096

/* Flags of pebuild_new(). Without PE32_PLUS: PE32 for i386, preferred base 0x10000000 (EXE:
 * 0x400000); with it: PE32+ for amd64, 0x180000000 (EXE: 0x140000000). */
#define PEBUILD_EXE       0u
#define PEBUILD_DLL       1u
#define PEBUILD_PE32_PLUS 2u

/* Section characteristics as linkers give them. */
#define PEBUILD_TEXT  0x60000020u /* code, execute, read */
#define PEBUILD_RDATA 0x40000040u /* initialised data, read */
#define PEBUILD_DATA  0xC0000040u /* initialised data, read, write */
#define PEBUILD_BSS   0xC0000080u /* uninitialised data, read, write */

struct pebuild_section {
    char name[9];
    uint32_t virtual_size, virtual_address, size_of_raw_data, pointer_to_raw_data, characteristics;
    uint8_t *data; /* written at `data_offset` of the file */
    uint32_t data_size, data_offset;
};

struct pebuild {
    struct pe_headers h; /* number_of_sections, size_of_image: kept by pebuild_section() */
    struct pebuild_section sections[PEBUILD_MAX_SECTIONS];
    uint32_t section_count; /* headers written; h.number_of_sections may lie about them */
    uint32_t next_rva, next_offset;
    struct {
        uint32_t rva;
        uint8_t type;
        uint16_t parameter;
    } fixups[PEBUILD_MAX_FIXUPS];
    uint32_t fixup_count;
};

struct pebuild *pebuild_new(unsigned flags);
void pebuild_free(struct pebuild *b);
/* The RVA that the next section will get. */
uint32_t pebuild_next_rva(const struct pebuild *b);
/*
 * Adds a PE section that holds a copy of `data`. `virtual_size` 0 = `size`. Raw data is padded to
 * FileAlignment; a section without data has no raw data. Returns its index.
 */
uint32_t pebuild_section(struct pebuild *b, const char *name, uint32_t characteristics,
                         const void *data, uint32_t size, uint32_t virtual_size);
void pebuild_directory(struct pebuild *b, enum pe_directory_index index, uint32_t rva,
                       uint32_t size);
/* The file. The builder is freed. */
uint8_t *pebuild_finish(struct pebuild *b, uint64_t *size);
/* The same into a file; false when that could not be written. */
bool pebuild_finish_file(struct pebuild *b, const char *path);

/* Little-endian writers for data that a test makes or spoils by hand. */
void pebuild_put16(void *bytes, uint64_t offset, uint16_t value);
void pebuild_put32(void *bytes, uint64_t offset, uint32_t value);
void pebuild_put64(void *bytes, uint64_t offset, uint64_t value);

/*
 * A growing buffer that knows the RVA of its begin: a section under construction. Each writer
 * returns the RVA of what it wrote.
 */
struct pebuild_buffer {
    struct pebuild *b;
    uint32_t rva;
    uint8_t *data;
    uint32_t size, room;
};
/* A buffer for the section that will be added next. */
struct pebuild_buffer pebuild_buffer(struct pebuild *b);
uint32_t pebuild_here(const struct pebuild_buffer *buf);
uint32_t pebuild_bytes(struct pebuild_buffer *buf, const void *bytes, uint32_t size);
uint32_t pebuild_zeroes(struct pebuild_buffer *buf, uint32_t size);
uint32_t pebuild_str(struct pebuild_buffer *buf, const char *text); /* with its NUL */
uint32_t pebuild_u16(struct pebuild_buffer *buf, uint16_t value);
uint32_t pebuild_u32(struct pebuild_buffer *buf, uint32_t value);
uint32_t pebuild_ptr(struct pebuild_buffer *buf, uint64_t value); /* 4 or 8 bytes */
/* A pointer to `rva` by the preferred base, with its fixup; 0 stays 0. */
uint32_t pebuild_va(struct pebuild_buffer *buf, uint32_t rva);
void pebuild_align(struct pebuild_buffer *buf, uint32_t alignment);
/* Overwrites what was written at `rva`. */
void pebuild_patch32(struct pebuild_buffer *buf, uint32_t rva, uint32_t value);
void pebuild_patch_ptr(struct pebuild_buffer *buf, uint32_t rva, uint64_t value);
/* Adds the section; the buffer is freed. */
uint32_t pebuild_buffer_section(struct pebuild_buffer *buf, const char *name,
                                uint32_t characteristics);

/*
 * Imports: adds ".idata" (writable, as its IATs are in it) and sets the directory. `names` ends
 * with NULL; "#12" means ordinal 12. `hint` is given to every name. `iat_rva` is set by the call.
 */
struct pebuild_import {
    const char *module;
    const char *names[16];
    uint16_t hint;
    bool no_lookup_table; /* OriginalFirstThunk 0 */
    uint32_t iat_rva;
};
void pebuild_imports(struct pebuild *b, struct pebuild_import *imports, uint32_t count);

/*
 * Exports: adds ".edata" and sets the directory. Names are sorted. `name` NULL = ordinal only;
 * `forwarder` not NULL = a forwarder (`rva` is ignored). Several rows may share an ordinal.
 */
struct pebuild_export {
    const char *name;
    uint32_t ordinal;
    uint32_t rva;
    const char *forwarder;
};
void pebuild_exports(struct pebuild *b, const char *module_name, uint32_t ordinal_base,
                     const struct pebuild_export *exports, uint32_t count);

/* Notes a fixup; `pebuild_pointer_fixup` uses HIGHLOW or DIR64. `parameter` is HIGHADJ's. */
void pebuild_fixup(struct pebuild *b, uint32_t rva, uint8_t type);
void pebuild_highadj(struct pebuild *b, uint32_t rva, uint16_t parameter);
void pebuild_pointer_fixup(struct pebuild *b, uint32_t rva);
/* Adds ".reloc" with all fixups noted so far, by page, and sets the directory. */
void pebuild_relocs(struct pebuild *b);

/*
 * TLS: adds ".tls" (writable) with directory, index, callback array and template, notes the fixups
 * of its VAs and sets the directory. `callbacks` are RVAs. `index_rva` is set by the call.
 */
struct pebuild_tls {
    const void *template_data;
    uint32_t template_size, zero_fill, characteristics;
    const uint32_t *callbacks;
    uint32_t callback_count;
    uint32_t directory_rva, index_rva;
};
void pebuild_tls(struct pebuild *b, struct pebuild_tls *tls);

#endif
