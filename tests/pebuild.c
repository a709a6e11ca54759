/*
 * The builder of PE images for tests (pebuild.h): headers, sections and the usual directories, laid
 * out as linkers do it (PE specification).
 */
#include "tests/pebuild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LFANEW      0x80u
#define COFF_SIZE   24u
#define HEADER_SIZE 40u

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static uint32_t round_up(uint32_t value, uint32_t to)
{
    return to ? (value + to - 1) / to * to : value;
}

static bool is_flat(const struct pebuild *b)
{
    return b->h.section_alignment < PE_PAGE_SIZE;
}

void pebuild_put16(void *bytes, uint64_t offset, uint16_t value)
{
    uint8_t *p = (uint8_t *)bytes + offset;
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

void pebuild_put32(void *bytes, uint64_t offset, uint32_t value)
{
    pebuild_put16(bytes, offset, (uint16_t)value);
    pebuild_put16(bytes, offset + 2, (uint16_t)(value >> 16));
}

void pebuild_put64(void *bytes, uint64_t offset, uint64_t value)
{
    pebuild_put32(bytes, offset, (uint32_t)value);
    pebuild_put32(bytes, offset + 4, (uint32_t)(value >> 32));
}

struct pebuild *pebuild_new(unsigned flags)
{
    struct pebuild *b = must(calloc(1, sizeof(*b)));
    bool plus = flags & PEBUILD_PE32_PLUS, dll = flags & PEBUILD_DLL;
    b->h = (struct pe_headers){
        .e_lfanew = LFANEW,
        .machine = plus ? IMAGE_FILE_MACHINE_AMD64 : IMAGE_FILE_MACHINE_I386,
        .size_of_optional_header = plus ? 240 : 224,
        .characteristics =
            (uint16_t)(IMAGE_FILE_EXECUTABLE_IMAGE | (plus ? IMAGE_FILE_LARGE_ADDRESS_AWARE : 0) |
                       (dll ? IMAGE_FILE_DLL : 0)),
        .pe32_plus = plus,
        .magic = plus ? 0x20b : 0x10b,
        .image_base = plus ? (dll ? 0x180000000u : 0x140000000u) : (dll ? 0x10000000u : 0x400000u),
        .section_alignment = PE_PAGE_SIZE,
        .file_alignment = PE_SECTOR_SIZE,
        .major_os_version = 6,
        .major_subsystem_version = 6,
        .size_of_headers = 0x400,
        .subsystem = IMAGE_SUBSYSTEM_WINDOWS_CUI,
        .size_of_stack_reserve = 0x100000,
        .size_of_stack_commit = 0x1000,
        .size_of_heap_reserve = 0x100000,
        .size_of_heap_commit = 0x1000,
        .number_of_rva_and_sizes = PE_DIRECTORY_COUNT,
    };
    return b;
}

void pebuild_free(struct pebuild *b)
{
    for (uint32_t i = 0; i < b->section_count; i++)
        free(b->sections[i].data);
    free(b);
}

uint32_t pebuild_next_rva(const struct pebuild *b)
{
    return b->section_count ? b->next_rva : round_up(b->h.size_of_headers, b->h.section_alignment);
}

uint32_t pebuild_section(struct pebuild *b, const char *name, uint32_t characteristics,
                         const void *data, uint32_t size, uint32_t virtual_size)
{
    if (b->section_count == PEBUILD_MAX_SECTIONS)
        abort();
    uint32_t rva = pebuild_next_rva(b);
    uint32_t next = b->section_count ? b->next_offset : b->h.size_of_headers;
    uint32_t offset = is_flat(b) ? rva : round_up(next, b->h.file_alignment);
    struct pebuild_section *s = &b->sections[b->section_count];
    *s = (struct pebuild_section){
        .virtual_size = virtual_size ? virtual_size : size,
        .virtual_address = rva,
        .size_of_raw_data = round_up(size, b->h.file_alignment),
        .pointer_to_raw_data = size ? offset : 0,
        .characteristics = characteristics,
        .data_offset = offset,
    };
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->data_size = s->size_of_raw_data;
    s->data = must(calloc(1, s->data_size + 1u));
    if (size)
        memcpy(s->data, data, size);
    b->next_offset = offset + s->size_of_raw_data;
    b->next_rva = round_up(rva + s->virtual_size, b->h.section_alignment);
    b->h.size_of_image = b->next_rva;
    b->h.number_of_sections = (uint16_t)++b->section_count;
    return b->section_count - 1;
}

void pebuild_directory(struct pebuild *b, enum pe_directory_index index, uint32_t rva,
                       uint32_t size)
{
    b->h.directory[index] = (struct pe_directory){rva, size};
}

static uint64_t file_size(const struct pebuild *b)
{
    uint64_t table = (uint64_t)b->h.e_lfanew + COFF_SIZE + b->h.size_of_optional_header;
    uint64_t end = table + (uint64_t)b->section_count * HEADER_SIZE;
    if (end < b->h.size_of_headers)
        end = b->h.size_of_headers;
    for (uint32_t i = 0; i < b->section_count; i++) {
        uint64_t data_end = (uint64_t)b->sections[i].data_offset + b->sections[i].data_size;
        if (b->sections[i].data_size && data_end > end)
            end = data_end;
    }
    return end;
}

static void put_coff(const struct pe_headers *h, uint8_t *nt)
{
    pebuild_put32(nt, 0, 0x4550);
    pebuild_put16(nt, 4, h->machine);
    pebuild_put16(nt, 6, h->number_of_sections);
    pebuild_put32(nt, 8, h->time_date_stamp);
    pebuild_put32(nt, 12, h->pointer_to_symbol_table);
    pebuild_put32(nt, 16, h->number_of_symbols);
    pebuild_put16(nt, 20, h->size_of_optional_header);
    pebuild_put16(nt, 22, h->characteristics);
}

/* The fields that have one place in both forms. */
static void put_optional_common(const struct pe_headers *h, uint8_t *opt)
{
    pebuild_put16(opt, 0, h->magic);
    opt[2] = h->major_linker_version;
    opt[3] = h->minor_linker_version;
    pebuild_put32(opt, 4, h->size_of_code);
    pebuild_put32(opt, 8, h->size_of_initialized_data);
    pebuild_put32(opt, 12, h->size_of_uninitialized_data);
    pebuild_put32(opt, 16, h->address_of_entry_point);
    pebuild_put32(opt, 20, h->base_of_code);
    pebuild_put32(opt, 32, h->section_alignment);
    pebuild_put32(opt, 36, h->file_alignment);
    pebuild_put16(opt, 40, h->major_os_version);
    pebuild_put16(opt, 42, h->minor_os_version);
    pebuild_put16(opt, 44, h->major_image_version);
    pebuild_put16(opt, 46, h->minor_image_version);
    pebuild_put16(opt, 48, h->major_subsystem_version);
    pebuild_put16(opt, 50, h->minor_subsystem_version);
    pebuild_put32(opt, 52, h->win32_version_value);
    pebuild_put32(opt, 56, h->size_of_image);
    pebuild_put32(opt, 60, h->size_of_headers);
    pebuild_put32(opt, 64, h->checksum);
    pebuild_put16(opt, 68, h->subsystem);
    pebuild_put16(opt, 70, h->dll_characteristics);
}

static void put_optional_wide(const struct pe_headers *h, uint8_t *opt)
{
    pebuild_put64(opt, 24, h->image_base);
    pebuild_put64(opt, 72, h->size_of_stack_reserve);
    pebuild_put64(opt, 80, h->size_of_stack_commit);
    pebuild_put64(opt, 88, h->size_of_heap_reserve);
    pebuild_put64(opt, 96, h->size_of_heap_commit);
    pebuild_put32(opt, 104, h->loader_flags);
    pebuild_put32(opt, 108, h->number_of_rva_and_sizes);
}

static void put_optional_narrow(const struct pe_headers *h, uint8_t *opt)
{
    pebuild_put32(opt, 24, h->base_of_data);
    pebuild_put32(opt, 28, (uint32_t)h->image_base);
    pebuild_put32(opt, 72, (uint32_t)h->size_of_stack_reserve);
    pebuild_put32(opt, 76, (uint32_t)h->size_of_stack_commit);
    pebuild_put32(opt, 80, (uint32_t)h->size_of_heap_reserve);
    pebuild_put32(opt, 84, (uint32_t)h->size_of_heap_commit);
    pebuild_put32(opt, 88, h->loader_flags);
    pebuild_put32(opt, 92, h->number_of_rva_and_sizes);
}

static void put_headers(const struct pe_headers *h, uint8_t *nt)
{
    uint8_t optional[240] = {0};
    put_coff(h, nt);
    put_optional_common(h, optional);
    if (h->pe32_plus)
        put_optional_wide(h, optional);
    else
        put_optional_narrow(h, optional);
    for (uint32_t i = 0; i < PE_DIRECTORY_COUNT; i++) {
        pebuild_put32(optional, (h->pe32_plus ? 112u : 96u) + i * 8, h->directory[i].rva);
        pebuild_put32(optional, (h->pe32_plus ? 116u : 100u) + i * 8, h->directory[i].size);
    }
    uint32_t size = h->size_of_optional_header;
    memcpy(nt + COFF_SIZE, optional, size < sizeof(optional) ? size : sizeof(optional));
}

static void put_section(const struct pebuild_section *s, uint8_t *header)
{
    memcpy(header, s->name, 8);
    pebuild_put32(header, 8, s->virtual_size);
    pebuild_put32(header, 12, s->virtual_address);
    pebuild_put32(header, 16, s->size_of_raw_data);
    pebuild_put32(header, 20, s->pointer_to_raw_data);
    pebuild_put32(header, 36, s->characteristics);
}

uint8_t *pebuild_finish(struct pebuild *b, uint64_t *size)
{
    *size = file_size(b);
    uint8_t *bytes = must(calloc(1, (size_t)*size));
    uint64_t table = (uint64_t)b->h.e_lfanew + COFF_SIZE + b->h.size_of_optional_header;
    pebuild_put16(bytes, 0, 0x5a4d);
    pebuild_put32(bytes, 0x3c, b->h.e_lfanew);
    put_headers(&b->h, bytes + b->h.e_lfanew);
    for (uint32_t i = 0; i < b->section_count; i++) {
        const struct pebuild_section *s = &b->sections[i];
        if (s->data_size)
            memcpy(bytes + s->data_offset, s->data, s->data_size);
        put_section(s, bytes + table + (uint64_t)i * HEADER_SIZE);
    }
    pebuild_free(b);
    return bytes;
}

bool pebuild_finish_file(struct pebuild *b, const char *path)
{
    uint64_t size;
    uint8_t *bytes = pebuild_finish(b, &size);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, (size_t)size, f) == size;
    if (f)
        ok = fclose(f) == 0 && ok;
    free(bytes);
    return ok;
}

struct pebuild_buffer pebuild_buffer(struct pebuild *b)
{
    return (struct pebuild_buffer){.b = b, .rva = pebuild_next_rva(b)};
}

uint32_t pebuild_here(const struct pebuild_buffer *buf)
{
    return buf->rva + buf->size;
}

uint32_t pebuild_bytes(struct pebuild_buffer *buf, const void *bytes, uint32_t size)
{
    uint32_t rva = pebuild_here(buf);
    if (buf->size + size >= buf->room) {
        buf->room = 2 * (buf->size + size) + 64;
        buf->data = must(realloc(buf->data, buf->room));
    }
    if (bytes && size)
        memcpy(buf->data + buf->size, bytes, size);
    else
        memset(buf->data + buf->size, 0, size);
    buf->size += size;
    return rva;
}

uint32_t pebuild_zeroes(struct pebuild_buffer *buf, uint32_t size)
{
    return pebuild_bytes(buf, NULL, size);
}

uint32_t pebuild_str(struct pebuild_buffer *buf, const char *text)
{
    return pebuild_bytes(buf, text, (uint32_t)strlen(text) + 1);
}

uint32_t pebuild_u16(struct pebuild_buffer *buf, uint16_t value)
{
    uint8_t bytes[2];
    pebuild_put16(bytes, 0, value);
    return pebuild_bytes(buf, bytes, sizeof(bytes));
}

uint32_t pebuild_u32(struct pebuild_buffer *buf, uint32_t value)
{
    uint8_t bytes[4];
    pebuild_put32(bytes, 0, value);
    return pebuild_bytes(buf, bytes, sizeof(bytes));
}

uint32_t pebuild_ptr(struct pebuild_buffer *buf, uint64_t value)
{
    uint8_t bytes[8];
    pebuild_put64(bytes, 0, value);
    return pebuild_bytes(buf, bytes, buf->b->h.pe32_plus ? 8 : 4);
}

uint32_t pebuild_va(struct pebuild_buffer *buf, uint32_t rva)
{
    if (!rva)
        return pebuild_ptr(buf, 0);
    pebuild_pointer_fixup(buf->b, pebuild_here(buf));
    return pebuild_ptr(buf, buf->b->h.image_base + rva);
}

void pebuild_align(struct pebuild_buffer *buf, uint32_t alignment)
{
    pebuild_zeroes(buf, round_up(buf->size, alignment) - buf->size);
}

void pebuild_patch32(struct pebuild_buffer *buf, uint32_t rva, uint32_t value)
{
    pebuild_put32(buf->data, rva - buf->rva, value);
}

void pebuild_patch_ptr(struct pebuild_buffer *buf, uint32_t rva, uint64_t value)
{
    if (buf->b->h.pe32_plus)
        pebuild_put64(buf->data, rva - buf->rva, value);
    else
        pebuild_put32(buf->data, rva - buf->rva, (uint32_t)value);
}

uint32_t pebuild_buffer_section(struct pebuild_buffer *buf, const char *name,
                                uint32_t characteristics)
{
    uint32_t i = pebuild_section(buf->b, name, characteristics, buf->data, buf->size, 0);
    free(buf->data);
    buf->data = NULL;
    return i;
}
