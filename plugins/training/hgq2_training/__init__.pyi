from hgq2_training.callbacks.beta_schedule import BetaSchedule as BetaSchedule
from hgq2_training.callbacks.epochs import EbopsLog as EbopsLog
from hgq2_training.callbacks.noise_schedule import NoiseSchedule as NoiseSchedule
from hgq2_training.callbacks.pareto_front import ParetoFront as ParetoFront
from hgq2_training.callbacks.stopping import EarlyStopping as EarlyStopping
from hgq2_training.commands.progress import TrainingProgress as TrainingProgress
from hgq2_training.datasets.csv import Csv as Csv
from hgq2_training.datasets.digits import Digits as Digits
from hgq2_training.datasets.hdf5 import Hdf5 as Hdf5
from hgq2_training.datasets.magic import Magic as Magic
from hgq2_training.datasets.npy import Npy as Npy
from hgq2_training.datasets.npz import Npz as Npz
from hgq2_training.datasets.parquet import Parquet as Parquet
from hgq2_training.datasets.root import Root as Root
from hgq2_training.datasets.toy_jets import ToyJets as ToyJets
from hgq2_training.datasets.vowels import Vowels as Vowels
from hgq2_training.plots import plot_bits as plot_bits
from hgq2_training.plots import plot_comparison as plot_comparison
from hgq2_training.plots import plot_curves as plot_curves
from hgq2_training.plots import plot_front as plot_front
from hgq2_training.plots import plot_values as plot_values
from hgq2_training.runs.compare import compare as compare
from hgq2_training.runs.front import read_front as read_front
from hgq2_training.runs.predict import predict as predict
from hgq2_training.runs.train import resume as resume
from hgq2_training.runs.train import train as train

__version__: str
