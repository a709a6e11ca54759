/*
 * A PE image: headers of PE32 and PE32+ merged into one form, PE sections, RVA access.
 *
 * An image is a value over a span: nothing is allocated and the span must outlive it. The same
 * functions work over a file's bytes (PE_LAYOUT_FILE) and over a mapped image (PE_LAYOUT_MAPPED);
 * only pe_rva() knows the difference. On-disk names are those of the PE specification
 * (Microsoft, "PE Format"), written in snake_case.
 */
#ifndef PE_IMAGE_H
#define PE_IMAGE_H

#include "pe/span.h"
#include "pe/status.h"

#define PE_PAGE_SIZE   0x1000u
#define PE_SECTOR_SIZE 0x200u   /* PointerToRawData is rounded down to this (facts 1.2) */
#define PE_GRANULARITY 0x10000u /* allocation granularity */

/* Caps, each far above what any linker makes, so that a hostile count costs bounded work. */
#define PE_MAX_NAME \
    0x40000u /* bytes of an import, export or forwarder name (128 KiB names exist) */
#define PE_MAX_MODULENAME 0x1000u

enum pe_machine {
    IMAGE_FILE_MACHINE_I386 = 0x14c,
    IMAGE_FILE_MACHINE_R4000 = 0x166,
    IMAGE_FILE_MACHINE_ARM = 0x1c0,
    IMAGE_FILE_MACHINE_THUMB = 0x1c2,
    IMAGE_FILE_MACHINE_ARMNT = 0x1c4,
    IMAGE_FILE_MACHINE_IA64 = 0x200,
    IMAGE_FILE_MACHINE_EBC = 0xebc,
    IMAGE_FILE_MACHINE_RISCV32 = 0x5032,
    IMAGE_FILE_MACHINE_RISCV64 = 0x5064,
    IMAGE_FILE_MACHINE_LOONGARCH32 = 0x6232,
    IMAGE_FILE_MACHINE_LOONGARCH64 = 0x6264,
    IMAGE_FILE_MACHINE_AMD64 = 0x8664,
    IMAGE_FILE_MACHINE_ARM64 = 0xaa64,
};

enum pe_file_characteristics {
    IMAGE_FILE_RELOCS_STRIPPED = 0x0001,
    IMAGE_FILE_EXECUTABLE_IMAGE = 0x0002,
    IMAGE_FILE_LARGE_ADDRESS_AWARE = 0x0020,
    IMAGE_FILE_32BIT_MACHINE = 0x0100,
    IMAGE_FILE_DLL = 0x2000,
};

enum pe_dll_characteristics {
    IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA = 0x0020,
    IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE = 0x0040,
    IMAGE_DLLCHARACTERISTICS_NX_COMPAT = 0x0100,
    IMAGE_DLLCHARACTERISTICS_NO_SEH = 0x0400,
};

enum pe_section_characteristics {
    IMAGE_SCN_CNT_CODE = 0x00000020,
    IMAGE_SCN_CNT_INITIALIZED_DATA = 0x00000040,
    IMAGE_SCN_CNT_UNINITIALIZED_DATA = 0x00000080,
    IMAGE_SCN_MEM_DISCARDABLE = 0x02000000,
    IMAGE_SCN_MEM_SHARED = 0x10000000,
    IMAGE_SCN_MEM_EXECUTE = 0x20000000,
    IMAGE_SCN_MEM_READ = 0x40000000,
    IMAGE_SCN_MEM_WRITE = 0x80000000u,
};

enum pe_subsystem {
    IMAGE_SUBSYSTEM_NATIVE = 1,
    IMAGE_SUBSYSTEM_WINDOWS_GUI = 2,
    IMAGE_SUBSYSTEM_WINDOWS_CUI = 3,
};

enum pe_directory_index {
    IMAGE_DIRECTORY_ENTRY_EXPORT,
    IMAGE_DIRECTORY_ENTRY_IMPORT,
    IMAGE_DIRECTORY_ENTRY_RESOURCE,
    IMAGE_DIRECTORY_ENTRY_EXCEPTION,
    IMAGE_DIRECTORY_ENTRY_SECURITY, /* a file offset, not an RVA */
    IMAGE_DIRECTORY_ENTRY_BASERELOC,
    IMAGE_DIRECTORY_ENTRY_DEBUG,
    IMAGE_DIRECTORY_ENTRY_ARCHITECTURE,
    IMAGE_DIRECTORY_ENTRY_GLOBALPTR,
    IMAGE_DIRECTORY_ENTRY_TLS,
    IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG,
    IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT,
    IMAGE_DIRECTORY_ENTRY_IAT,
    IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT,
    IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR,
    IMAGE_DIRECTORY_ENTRY_RESERVED,
    PE_DIRECTORY_COUNT
};

struct pe_directory {
    uint32_t rva; /* for SECURITY a file offset */
    uint32_t size;
};

/* IMAGE_DOS_HEADER, IMAGE_FILE_HEADER and IMAGE_OPTIONAL_HEADER(32|64), merged. */
struct pe_headers {
    uint32_t e_lfanew;
    /* IMAGE_FILE_HEADER */
    uint16_t machine;
    uint16_t number_of_sections;
    uint32_t time_date_stamp;
    uint32_t pointer_to_symbol_table;
    uint32_t number_of_symbols;
    uint16_t size_of_optional_header;
    uint16_t characteristics;
    /* IMAGE_OPTIONAL_HEADER */
    bool pe32_plus; /* magic 0x20b */
    uint16_t magic;
    uint8_t major_linker_version, minor_linker_version;
    uint32_t size_of_code;
    uint32_t size_of_initialized_data;
    uint32_t size_of_uninitialized_data;
    uint32_t address_of_entry_point;
    uint32_t base_of_code;
    uint32_t base_of_data; /* PE32 only, else 0 */
    uint64_t image_base;   /* the preferred base */
    uint32_t section_alignment;
    uint32_t file_alignment;
    uint16_t major_os_version, minor_os_version;
    uint16_t major_image_version, minor_image_version;
    uint16_t major_subsystem_version, minor_subsystem_version;
    uint32_t win32_version_value;
    uint32_t size_of_image;
    uint32_t size_of_headers;
    uint32_t checksum;
    uint16_t subsystem;
    uint16_t dll_characteristics;
    uint64_t size_of_stack_reserve, size_of_stack_commit;
    uint64_t size_of_heap_reserve, size_of_heap_commit;
    uint32_t loader_flags;
    uint32_t number_of_rva_and_sizes;                  /* as the file says */
    struct pe_directory directory[PE_DIRECTORY_COUNT]; /* zero beyond that number */
    /* Derived */
    uint64_t optional_header_offset;
    uint64_t section_table_offset; /* e_lfanew + 24 + SizeOfOptionalHeader */
};

enum pe_layout { PE_LAYOUT_FILE, PE_LAYOUT_MAPPED };

/* Windows versions, as a set where it says so. 7 and 10 are the 64-bit editions. */
enum pe_windows {
    PE_WINDOWS_XP = 1,
    PE_WINDOWS_7 = 2,
    PE_WINDOWS_10 = 4,
    PE_WINDOWS_ALL = 7,
};

struct pe_image {
    struct pe_span bytes; /* the file, or the mapped image from its base */
    enum pe_layout layout;
    /* The version by whose rules the image is read; pe_open() says 10, change it at once. */
    enum pe_windows windows;
    uint64_t file_size; /* of the file, also in PE_LAYOUT_MAPPED when the mapper knows; else 0 */
    struct pe_headers h;
    /*
     * PE_LAYOUT_MAPPED only: the file's headers, when the section table is to be read from them
     * because the mapped header page may not hold it (facts: behaviours, Headers). Empty otherwise.
     */
    struct pe_span file_headers;
    /*
     * PE_LAYOUT_MAPPED only: how many of the `len` bytes at `rva` may be read at this moment, for a
     * view whose pages have protections; others are not part of the image then. NULL = all.
     */
    uint32_t (*readable)(const void *view, uint32_t rva, uint32_t len);
    const void *view;
    bool sections_rise; /* set by pe_open(): lookups may search the section table by halves */
};

/* One IMAGE_SECTION_HEADER with the mapped extent that Windows derives from it. */
struct pe_section {
    char name[9]; /* 8 bytes and a NUL; not resolved through the string table */
    uint32_t virtual_size, virtual_address;
    uint32_t size_of_raw_data, pointer_to_raw_data;
    uint32_t characteristics;
    /* Derived (facts 1.2) */
    uint32_t mapped_size; /* VirtualSize, or SizeOfRawData where that is 0; rounded up to a page */
    uint32_t file_offset; /* PointerToRawData rounded down to 0x200 (page-aligned images) */
    uint32_t file_size;   /* bytes that come from the file; the rest of mapped_size is zero */
};

/*
 * Decodes the headers of `bytes`. Refuses only what cannot be read at all (no MZ, no NT headers, an
 * optional header that is no PE32/PE32+); whether Windows would map the image is a question for
 * pe/rules.h. Statuses: facts 1.5.
 */
nt_status pe_open(struct pe_span bytes, enum pe_layout layout, struct pe_image *out,
                  struct pe_error *err);
/* The same without refusing anything: what cannot be read is 0. For who asks the rules anyway. */
struct pe_image pe_read(struct pe_span bytes, enum pe_layout layout);

/* PE section `i`, 0-based; false beyond NumberOfSections or when the table is cut short. */
bool pe_section_at(const struct pe_image *image, uint32_t i, struct pe_section *out);
/* The PE section whose mapped extent holds `rva`; false for headers and gaps. `index` may be NULL.
 */
bool pe_section_of_rva(const struct pe_image *image, uint32_t rva, struct pe_section *out,
                       uint32_t *index);
/* True where SectionAlignment is below a page: one flat view of the file, no relocation
 * (facts 1.2). */
bool pe_is_flat(const struct pe_image *image);
/*
 * How many bytes of the file the header pages show; what is left of their last page is zero. It is
 * SizeOfHeaders, but Windows 7 counts the NT headers and the section table as headers even where
 * SizeOfHeaders does not. Of a flat image, all bytes that the file has.
 */
uint32_t pe_headers_shown(const struct pe_image *image);
/* SizeOfImage rounded up to a page; 0 when that overflows 32 bits. */
uint32_t pe_mapped_size(const struct pe_image *image);
/* 8 for PE32+, 4 for PE32. */
uint32_t pe_pointer_size(const struct pe_image *image);

/*
 * Copies `len` bytes at `rva` as a mapped image would show them: zero fill is produced for the
 * parts that the file does not back. False when the range leaves SizeOfImage.
 */
bool pe_rva_copy(const struct pe_image *image, uint32_t rva, void *dst, uint32_t len);
bool pe_rva_u16(const struct pe_image *image, uint32_t rva, uint16_t *out);
bool pe_rva_u32(const struct pe_image *image, uint32_t rva, uint32_t *out);
bool pe_rva_u64(const struct pe_image *image, uint32_t rva, uint64_t *out);
/* A pointer-sized value (4 or 8 bytes), zero-extended. */
bool pe_rva_ptr(const struct pe_image *image, uint32_t rva, uint64_t *out);
/*
 * A NUL-terminated string at `rva`, not longer than `max`. The bytes are the file's or the mapped
 * image's own; zero fill ends a string.
 */
bool pe_rva_str(const struct pe_image *image, uint32_t rva, uint32_t max, struct pe_str *out);
/* The bytes at `rva` that lie in one piece in the span: at most `len`, at least 1. */
bool pe_rva_span(const struct pe_image *image, uint32_t rva, uint32_t len, struct pe_span *out);
/* The file offset that backs `rva`; false for zero fill. PE_LAYOUT_FILE only. */
bool pe_rva_to_offset(const struct pe_image *image, uint32_t rva, uint64_t *out);
/*
 * A data directory that is present (index < NumberOfRvaAndSizes, RVA not 0) and begins inside the
 * image. Its size is clamped to SizeOfImage. Not for IMAGE_DIRECTORY_ENTRY_SECURITY.
 */
bool pe_directory_get(const struct pe_image *image, enum pe_directory_index index,
                      struct pe_directory *out);

/* "i386", "amd64", "arm64", ... or "unknown". */
const char *pe_machine_name(uint16_t machine);
/* True when images of a known machine type are PE32 (4) or PE32+ (8), as `pointer_size` says. */
bool pe_machine_has_pointer_size(uint16_t machine, uint32_t pointer_size);

/* End of the last byte that headers or PE sections use in the file; what follows is the overlay. */
uint64_t pe_overlay_offset(const struct pe_image *image);
/* The image checksum as ImageHlp's CheckSumMappedFile computes it. PE_LAYOUT_FILE only. */
uint32_t pe_checksum(const struct pe_image *image);

#endif
