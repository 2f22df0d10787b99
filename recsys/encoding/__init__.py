"""The way from examples to packed arrays to tensors.

Vocabularies and normalisers are fitted on training days. Encoded days are stored in Arrow IPC files.
"""

from recsys.encoding.batches import batches, packed_batches, steps_per_epoch, to_batch
from recsys.encoding.encode_days import ToEncode, encode_days, fit_encoder
from recsys.encoding.encoded_days import Arrivals, EncodedDays, Period, rows_of_day
from recsys.encoding.encoder import Encoder
from recsys.encoding.feature_groups import FeatureGroup, feature_groups
from recsys.encoding.growth import encoder_after, growing
from recsys.encoding.layout import PADDING_ROW, Batch, Layout, Order, Slot
from recsys.encoding.means import label_means
from recsys.encoding.sampling import Sampling
from recsys.encoding.thinning import Thinning
from recsys.encoding.vocabulary import INIT_ROWS, embedding_init

__all__ = [
    "INIT_ROWS",
    "PADDING_ROW",
    "Arrivals",
    "Batch",
    "EncodedDays",
    "Encoder",
    "FeatureGroup",
    "Layout",
    "Order",
    "Period",
    "Sampling",
    "Slot",
    "Thinning",
    "ToEncode",
    "batches",
    "embedding_init",
    "encode_days",
    "encoder_after",
    "feature_groups",
    "fit_encoder",
    "growing",
    "label_means",
    "packed_batches",
    "rows_of_day",
    "steps_per_epoch",
    "to_batch",
]
