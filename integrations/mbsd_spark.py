"""Tags products on Spark: every executor keeps a process of `mbsd tag --stdio` and sends it the rows of its partitions.

    spark-submit --py-files mbsd_stdio.py mbsd_spark.py --input PARQUET --output PARQUET -- \\
        --bundle BUNDLE --tags TAGS --threads 1

What follows `--` is passed on to `mbsd tag`. Bundle, tags and `mbsd` must be there on every machine. Needs pyspark 3.3 or later.
"""

import argparse
import itertools

from pyspark.sql import SparkSession
from pyspark.sql import types as t

TAGS = t.ArrayType(t.StructType([t.StructField("tag", t.StringType()), t.StructField("score", t.FloatType())]))
KEPT = {t.BooleanType: t.BooleanType, t.FloatType: t.DoubleType, t.DoubleType: t.DoubleType}
KEPT |= {integer: t.LongType for integer in (t.ByteType, t.ShortType, t.IntegerType, t.LongType)}


def output_schema(schema):
    """The columns that `mbsd tag` writes for an input of this schema; docs/formats.md."""
    own = ["id", "title", "image"]
    fields = [t.StructField(name, t.StringType()) for name in own]
    for field in schema.fields:
        if field.name not in own and not isinstance(field.dataType, t.BinaryType):
            fields.append(t.StructField(field.name, KEPT.get(type(field.dataType), t.StringType)()))
    return t.StructType([*fields, t.StructField("tags", TAGS), *(t.StructField(n, t.StringType()) for n in ("variant", "error"))])


def tag(products, arguments):
    """The products with their tags. A row that has no result has an `error`: `code: message`."""

    def partition(batches):
        import mbsd_stdio

        first = next(batches, None)
        if first is not None:
            yield from mbsd_stdio.process(arguments).tag(first.schema, itertools.chain([first], batches))

    return products.mapInArrow(partition, output_schema(products.schema))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True, help="Parquet file or folder with id, title, image")
    parser.add_argument("--output", required=True, help="Parquet folder to write")
    parser.add_argument("arguments", nargs="+", help="passed on to `mbsd tag`")
    given = parser.parse_args()
    spark = SparkSession.builder.getOrCreate()
    tag(spark.read.parquet(given.input), given.arguments).write.parquet(given.output)
