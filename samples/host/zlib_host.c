/*
 * A Linux program that uses a Windows DLL through libpeldr: zlib1.dll's crc32, and a round trip
 * through compress and uncompress. Exit status 0 when the text survives.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "loader/peldr.h"

/* zlib's C interface as a Windows compiler sees it: `unsigned long` has 32 bits. */
typedef uint32_t(PELDR_CDECL *crc32_fn)(uint32_t crc, const void *data, uint32_t size);
typedef int32_t(PELDR_CDECL *compress_fn)(void *out, uint32_t *out_size, const void *in,
                                          uint32_t in_size);

static int round_trip(compress_fn compress, compress_fn uncompress)
{
    static const char text[] = "peldr loads a real DLL, a real DLL, a real DLL, natively";
    char packed[256], unpacked[256];
    uint32_t packed_size = sizeof packed, unpacked_size = sizeof unpacked;
    int32_t in = compress(packed, &packed_size, text, sizeof text);
    int32_t out = uncompress(unpacked, &unpacked_size, packed, packed_size);
    int same = in == 0 && out == 0 && unpacked_size == sizeof text &&
               memcmp(text, unpacked, sizeof text) == 0;
    printf("compress: %zu -> %u bytes; uncompress: %u bytes, %s\n", sizeof text, packed_size,
           unpacked_size, same ? "the same text" : "NOT the same text");
    return same ? 0 : 1;
}

int main(int argc, char **argv)
{
    peldr_module *zlib = peldr_open(argc > 1 ? argv[1] : "zlib1.dll", 0);
    crc32_fn crc32 = zlib ? (crc32_fn)peldr_sym(zlib, "crc32") : NULL;
    compress_fn compress = zlib ? (compress_fn)peldr_sym(zlib, "compress") : NULL;
    compress_fn uncompress = zlib ? (compress_fn)peldr_sym(zlib, "uncompress") : NULL;
    int status;
    if (!crc32 || !compress || !uncompress) {
        fprintf(stderr, "%s\n", peldr_error());
        return 1;
    }
    printf("crc32(\"hello\") = 0x%08x\n", crc32(0, "hello", 5));
    status = round_trip(compress, uncompress);
    peldr_close(zlib);
    return status;
}
