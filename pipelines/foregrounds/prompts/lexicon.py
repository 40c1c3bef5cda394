"""Words that tell that a prompt is more than one plain object: places, makers, people. Judged by `rules`.

The lists hold what a model writes most, not everything: the instructions ask for the rest. Words that are also plain
things (apple, jaguar, shell, amazon) are left out of the makers, for a jaguar is an animal first.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCENE_ANYWHERE = _words("""
    background backdrop scene scenery landscape cityscape seascape skyline panorama wallpaper horizon surroundings
""")
"""Never part of a thing's name."""

SCENE_HEADS = _words("""
    sky sunset sunrise beach forest jungle desert mountain hill valley meadow field garden park lake river ocean sea
    island coast shore waterfall street road highway alley city town village square market room kitchen bedroom
    bathroom office classroom hallway stadium airport harbour harbor farm countryside cave night fog rain snow
""")
"""A place or weather when it is the last word (`sandy beach`), part of a thing's name before it (`beach ball`)."""

RELATIONS = _words("""
    in on at with without under over above below beside behind between near inside outside against among around next
    from by through wearing holding carrying riding standing surrounded
""")
"""What ties a thing to a place or to another thing."""

JOINTS = _words("and or plus versus")
"""What makes two things of one."""

MAKERS = _words("""
    adidas airbus audi barbie batmobile beats bentley bmw boeing bosch bugatti burberry cadillac canon
    chanel chevrolet chrysler citroen coca cocacola coke corvette dell disney dodge ducati dyson
    facebook fedex fender ferrari fiat fitbit gibson gillette google gopro gucci harley heineken hermes honda huawei
    hyundai ikea instagram intel ipad iphone ipod jacuzzi kawasaki kia kitchenaid kleenex kodak
    lamborghini lego leica lenovo lexus levis logitech macbook maserati mazda mcdonalds mercedes microsoft mitsubishi
    motorola nasa nescafe nestle netflix nike nikon nintendo nissan nokia oreo panasonic pepsi peugeot philips
    playmobil playstation polaroid porsche prada reebok renault rolex royce samsung
    sony spacex starbucks steinway subaru suzuki tesla thermomix tiktok toyota tupperware twitter uber vespa volkswagen
    volvo vuitton walkman whatsapp xbox xerox yamaha youtube zippo
""")
"""Makers, their marks and products that bear no other name."""

PEOPLE = _words("""
    adele beethoven beyonce bezos biden caesar chaplin churchill cleopatra clinton columbus cristiano darwin davinci
    dali edison einstein elvis eminem federer freud frida gaga galileo gandhi goethe hawking
    hendrix hitler jesus kahlo kardashian kennedy lenin lennon lincoln lionel luther madonna mandela
    marilyn marx merkel messi michelangelo monroe mozart musk napoleon newton nixon obama oprah picasso plato
    presley putin rihanna ronaldo roosevelt serena shakespeare socrates stalin tolkien trump vangogh
    warhol washington
    aladdin batman bambi cinderella darth deadpool dracula dumbledore elmo elsa frankenstein
    frodo gandalf garfield gollum godzilla goku groot hulk hermione ironman kermit luigi mario mickey
    minnie minion mulan naruto nemo pikachu pinocchio pokemon rapunzel santa sauron sherlock shrek simpson skywalker
    smurf snoopy spiderman spongebob superman supergirl tarzan thanos thor totoro voldemort
    yoda zelda zorro jedi sith stormtrooper lightsaber terminator xenomorph tardis
""")
"""People and figures of fiction that are known by one word, and things that belong to one story."""
