"""The words of the story world in both languages, its genres, and its sizes.

Chapter: ``book/concepts/storyworld.ipynb``.
"""

from dataclasses import dataclass

PEOPLE = {  # name -> Chinese name, gender
    "Tom": ("汤姆", "he"),
    "Anna": ("安娜", "she"),
    "Jack": ("杰克", "he"),
    "Mary": ("玛丽", "she"),
    "Peter": ("彼得", "he"),
    "Lily": ("莉莉", "she"),
    "Paul": ("保罗", "he"),
    "Susan": ("苏珊", "she"),
    "David": ("大卫", "he"),
    "Emma": ("艾玛", "she"),
    "Mark": ("马克", "he"),
    "Nina": ("妮娜", "she"),
    "Henry": ("亨利", "he"),
    "Julia": ("朱莉", "she"),
    "Simon": ("西蒙", "he"),
    "Laura": ("劳拉", "she"),
}
PLACES = {  # place -> Chinese word; neighbours in this list share a genre
    "kitchen": "厨房",
    "garden": "花园",
    "forest": "森林",
    "cave": "山洞",
    "market": "市场",
    "station": "车站",
    "park": "公园",
    "school": "学校",
    "cellar": "地窖",
    "attic": "阁楼",
    "valley": "山谷",
    "meadow": "草地",
    "bakery": "面包店",
    "harbour": "港口",
    "library": "图书馆",
    "stadium": "体育场",
}
OBJECTS = {  # object -> Chinese word; neighbours in this list share a genre
    "lamp": "灯",
    "cake": "蛋糕",
    "apple": "苹果",
    "shell": "贝壳",
    "key": "钥匙",
    "map": "地图",
    "ball": "球",
    "drum": "鼓",
    "cup": "杯子",
    "clock": "钟",
    "stick": "棍子",
    "stone": "石头",
    "bag": "袋子",
    "letter": "信",
    "book": "书",
    "kite": "风筝",
}
MOODS = {"happy": "高兴", "sad": "难过", "calm": "平静", "angry": "生气"}
POSITIVE = ("happy", "calm")
GENRES = ("home", "nature", "town", "play")
PRONOUNS = {"he": ("He", "他"), "she": ("She", "她")}


@dataclass(frozen=True)
class Size:
    """Size of a world.

    Attributes:
        people: number of people to choose from.
        places: number of places.
        objects: number of objects.
        moods: number of moods.
        genres: number of hidden kinds of story; each favours its own places and objects.
        cast: largest number of people in one story, at least 2.
        events: largest number of events after the opening.
        questions: largest number of questions after the events.
    """

    people: int
    places: int
    objects: int
    moods: int
    genres: int
    cast: int
    events: int
    questions: int


SIZES = {
    "tiny": Size(people=2, places=2, objects=1, moods=2, genres=2, cast=2, events=2, questions=1),
    "small": Size(people=8, places=8, objects=8, moods=4, genres=4, cast=3, events=8, questions=8),
    "large": Size(people=16, places=16, objects=16, moods=4, genres=4, cast=4, events=12, questions=10),
}
