/*
 * Odd images: imports and code in one piece, headers moved about (odd_piece.h).
 */
#include "tests/odd/odd_piece.h"

#include <stdlib.h>
#include <string.h>

/* Offsets in the piece. The lookup table is the IAT; each has one entry and its end. */
enum {
    AT_PRINTF = 0x40,
    AT_EXIT = 0x50,
    AT_MSVCRT = 0x60,
    AT_KERNEL32 = 0x70,
    AT_PRINTF_NAME = 0x80,
    AT_EXIT_NAME = 0x90,
    HEADER_SIZE = 40
};

void odd_piece(struct odd *odd, uint32_t rva)
{
    odd_code_begin(&odd->code, rva + ODD_PIECE_CODE, rva + AT_PRINTF, rva + AT_EXIT);
}

uint8_t *odd_piece_take(struct odd *odd, uint32_t *size)
{
    uint32_t rva = odd->code.rva - ODD_PIECE_CODE;
    *size = ODD_PIECE_CODE + odd->code.size;
    uint8_t *piece = calloc(1, *size);
    if (!piece)
        abort();
    pebuild_put32(piece, 12, rva + AT_MSVCRT);
    pebuild_put32(piece, 16, rva + AT_PRINTF);
    pebuild_put32(piece, 20 + 12, rva + AT_KERNEL32);
    pebuild_put32(piece, 20 + 16, rva + AT_EXIT);
    pebuild_put32(piece, AT_PRINTF, rva + AT_PRINTF_NAME);
    pebuild_put32(piece, AT_EXIT, rva + AT_EXIT_NAME);
    memcpy(piece + AT_MSVCRT, "msvcrt.dll", 10);
    memcpy(piece + AT_KERNEL32, "KERNEL32.dll", 12);
    memcpy(piece + AT_PRINTF_NAME + 2, "printf", 6);
    memcpy(piece + AT_EXIT_NAME + 2, "ExitProcess", 11);
    memcpy(piece + ODD_PIECE_CODE, odd->code.data, odd->code.size);
    odd_code_free(&odd->code);
    return piece;
}

uint32_t odd_piece_section(struct odd *odd, uint32_t characteristics)
{
    uint32_t size, rva = pebuild_next_rva(odd->b);
    if (odd->code.rva != rva + ODD_PIECE_CODE)
        abort();
    uint8_t *piece = odd_piece_take(odd, &size);
    uint32_t index = pebuild_section(odd->b, ".piece", characteristics, piece, size, 0);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_IMPORT, rva, 60);
    odd->b->h.address_of_entry_point = rva + ODD_PIECE_CODE;
    free(piece);
    return index;
}

void odd_piece_flat(struct odd *odd)
{
    uint32_t size, rva = odd->code.rva - ODD_PIECE_CODE;
    uint8_t *piece = odd_piece_take(odd, &size);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_IMPORT, rva, 60);
    odd->b->h.address_of_entry_point = rva + ODD_PIECE_CODE;
    odd_finish(odd);
    odd_resize(odd, rva + size);
    memcpy(odd->bytes + rva, piece, size);
    free(piece);
}

uint32_t odd_get32(const struct odd *odd, uint64_t offset)
{
    const uint8_t *p = odd->bytes + offset;
    if (odd->size < 4 || offset > odd->size - 4)
        abort();
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint16_t odd_section_count(const struct odd *odd)
{
    return (uint16_t)(odd_get32(odd, odd_nt(odd) + 4) >> 16);
}

/* [from, from+size) goes to `to`; the file grows as needed. */
static void move(struct odd *odd, uint64_t from, uint64_t size, uint64_t to)
{
    uint8_t *copy = malloc(size);
    if (!copy)
        abort();
    if (to + size > odd->size)
        odd_resize(odd, to + size);
    memcpy(copy, odd->bytes + from, size);
    memset(odd->bytes + from, 0, size);
    memcpy(odd->bytes + to, copy, size);
    free(copy);
}

void odd_move_headers(struct odd *odd, uint32_t lfanew)
{
    uint64_t from = odd_nt(odd), end = odd_section_header(odd, odd_section_count(odd));
    move(odd, from, end - from, lfanew);
    pebuild_put32(odd->bytes, 0x3c, lfanew);
}

void odd_move_table(struct odd *odd, uint32_t offset)
{
    uint64_t from = odd_section_header(odd, 0);
    uint64_t size = odd_section_header(odd, odd_section_count(odd)) - from;
    move(odd, from, size, offset);
    pebuild_put16(odd->bytes, odd_nt(odd) + 20, (uint16_t)(offset - odd_optional(odd)));
}

void odd_grow_table(struct odd *odd, uint16_t count)
{
    if (odd->size != odd_section_header(odd, odd_section_count(odd)))
        abort();
    odd_resize(odd, odd_section_header(odd, count));
    pebuild_put16(odd->bytes, odd_nt(odd) + 6, count);
}

void odd_put_section(struct odd *odd, uint32_t i, const struct pebuild_section *section)
{
    uint8_t *header = odd->bytes + odd_section_header(odd, i);
    memset(header, 0, HEADER_SIZE);
    memcpy(header, section->name, 8);
    pebuild_put32(header, 8, section->virtual_size);
    pebuild_put32(header, 12, section->virtual_address);
    pebuild_put32(header, 16, section->size_of_raw_data);
    pebuild_put32(header, 20, section->pointer_to_raw_data);
    pebuild_put32(header, 36, section->characteristics);
}
